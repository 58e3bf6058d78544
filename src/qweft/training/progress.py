"""Losses, step times and progress of a run, and the peak memory of a block."""

import ctypes
import gc
import math
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import psutil
import torch
from transformers import TrainerCallback

from qweft.environment import LoadMeter, MachineLoad
from qweft.errors import stop_if_asked
from qweft.text import progress


@contextmanager
def peak_memory(device: torch.device) -> Iterator[list[int]]:
    """Yield a list whose only number is, at the end of the block, its peak memory in bytes; of the process on a CPU."""
    peak = [0]
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        yield peak
        peak[0] = torch.cuda.max_memory_allocated(device)
        return
    gc.collect()  # and return freed memory to the system, so that an earlier run's peak is not counted again
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform.startswith("linux") else None
    if trim is not None:
        trim(0)
    process, over = psutil.Process(), threading.Event()

    def watch() -> None:
        while True:
            peak[0] = max(peak[0], process.memory_info().rss)
            if over.wait(0.01):
                return

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield peak
    finally:
        over.set()
        watcher.join()


class StepRecorder(TrainerCallback):
    """Records logged losses, the wall time of each step and the machine's load, and says how far the training is."""

    def __init__(self, label: str):
        self.curve: list[tuple[int, float]] = []
        self.seconds: list[float] = []
        self.load = MachineLoad(None, None)
        self._label, self._loss, self._begun = label, "", 0.0
        self._shown = ExitStack()

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Restore the losses that a resumed run logged before, and begin to say how far it is."""
        self.curve = [(int(each["step"]), float(each["loss"])) for each in state.log_history if "loss" in each]
        label = f"{self._label}, from step {state.global_step}" if state.global_step else self._label
        self._tick = self._shown.enter_context(progress(label, state.max_steps - state.global_step, "step"))
        self._meter = LoadMeter()

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Read the load of the machine beside the steps."""
        self.load = self._meter.read()

    @property
    def spread(self) -> float | None:
        """Half the distance between the quartiles of the steps' times, over their median; `None` for under 3 steps."""
        if len(self.seconds) < 3:
            return None
        low, middle, high = statistics.quantiles(self.seconds, n=4)
        return (high - low) / 2 / middle

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Start timing the step; where a stop that was asked for was lost, stop now."""
        stop_if_asked()
        self._begun = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Record the time, and have the loss logged at checkpoints and the last step: the trainer forgets it there."""
        self.seconds.append(time.perf_counter() - self._begun)
        saves = args.save_strategy == "steps" and state.global_step % args.save_steps == 0
        control.should_log = control.should_log or saves or state.global_step >= state.max_steps
        self._tick(1, self._loss)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        """Record the loss, and stop training if it is NaN or infinite."""
        if logs and "loss" in logs:
            loss = float(logs["loss"])
            self.curve.append((state.global_step, loss))
            self._loss = f"loss {loss:.3f}"
            if not math.isfinite(loss):
                control.should_training_stop = True  # the loss will not recover

    def __enter__(self) -> "StepRecorder":
        return self

    def __exit__(self, *error: Any) -> None:
        self._shown.close()
