"""Progress bar, step times and peak memory of a run."""

import ctypes
import gc
import math
import statistics
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import Any

import psutil
import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from transformers import TrainerCallback

from qweft.environment import LoadMeter, MachineLoad
from qweft.errors import stop_if_asked
from qweft.output import Console
from qweft.text import progress


class PeakMemory:
    """Measures the peak memory of a `with` block, in bytes, as the attribute `bytes`."""

    def __init__(self, device: torch.device):
        self.device = device
        self.bytes = 0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> "PeakMemory":
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        else:
            _release()
            self._thread = threading.Thread(target=self._watch, daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._thread is None:
            self.bytes = torch.cuda.max_memory_allocated(self.device)
        else:
            self._stop.set()
            self._thread.join()

    def _watch(self) -> None:
        process = psutil.Process()
        while True:
            self.bytes = max(self.bytes, process.memory_info().rss)
            if self._stop.wait(0.01):
                return


def _release() -> None:
    """Return freed memory to the system (glibc only), so that an earlier run's peak is not counted again."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform.startswith("linux") else None
    if trim is not None:
        trim(0)


class StepRecorder(TrainerCallback):
    """Records logged losses, the wall time of each step and the machine's load, and shows a progress bar."""

    def __init__(self, label: str, console: Console | None = None):
        self.curve: list[tuple[int, float]] = []
        self.seconds: list[float] = []
        self.load = MachineLoad(None, None)
        self._meter: LoadMeter | None = None
        console = console or Console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]}", markup=False),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task(label, loss="-")
        self._begun = 0.0
        self._label, self._has_bar = label, console.is_terminal
        self._lines = ExitStack()
        self._tick: Callable[[int], None] = lambda steps: None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Show the bar, and restore the losses that a resumed run logged before."""
        self.curve = [(int(each["step"]), float(each["loss"])) for each in state.log_history if "loss" in each]
        self._bar.update(self._task, total=state.max_steps, completed=state.global_step)
        self._bar.start()
        label = f"{self._label}, from step {state.global_step}" if state.global_step else self._label
        left = progress(label, state.max_steps - state.global_step, "step", shown=not self._has_bar)
        self._tick = self._lines.enter_context(left)
        self._meter = LoadMeter()

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Read the load of the machine beside the steps."""
        if self._meter is not None:
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
        """Record the time of the step, and have the loss logged at the last step and at checkpoints.

        The trainer forgets the losses since its last log when it ends, and when a checkpoint is loaded.
        """
        self.seconds.append(time.perf_counter() - self._begun)
        saves = args.save_strategy == "steps" and state.global_step % args.save_steps == 0
        control.should_log = control.should_log or saves or state.global_step >= state.max_steps
        self._bar.update(self._task, completed=state.global_step)
        self._tick(1)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        """Record the loss, and stop training if it is NaN or infinite."""
        if logs and "loss" in logs:
            loss = float(logs["loss"])
            self.curve.append((state.global_step, loss))
            if not math.isfinite(loss):
                control.should_training_stop = True  # the loss will not recover
            self._bar.update(self._task, loss=f"{loss:.3f}")

    def stop(self) -> None:
        """Remove the bar."""
        self._bar.stop()
        self._lines.close()
