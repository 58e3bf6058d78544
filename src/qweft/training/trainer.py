"""A `Trainer` with an evaluation's loss, rates and norms by part, and what it records of each step."""

import ctypes
import gc
import math
import statistics
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import psutil
import torch
from transformers import Trainer, TrainerCallback
from transformers.trainer_callback import ExportableState

from qweft.adapter.branch import parts_of
from qweft.core.environment import LoadMeter, MachineLoad
from qweft.core.errors import QweftError, stop_if_asked
from qweft.core.progress import progress
from qweft.evaluation.loss import logits_of_targets, target_loss
from qweft.method.names import OTHER, RATED
from qweft.training.distributed import whole


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


VANISHED = 1e-5
"""Circuit gradients vanish if their root mean square is below this fraction of the other parts'."""
IN_A_ROW = 5
"""Consecutive steps before the warning."""
ADD_TO_LOSS = ("ADALORA", "CPT", "SHADOW")
"""Methods of PEFT that add a term to the model's own loss, or weigh its targets."""


def trained_parts(model: torch.nn.Module) -> dict[str, list[torch.nn.Parameter]]:
    """Return the trained parameters by their part."""
    parts, found = parts_of(model), dict[str, list[torch.nn.Parameter]]()
    for parameter in model.parameters():
        if parameter.requires_grad:
            found.setdefault(parts.get(id(parameter), OTHER), []).append(parameter)
    return found


def check_rates(model: torch.nn.Module, rates: Mapping[str, float]) -> None:
    """Check that the model trains each part that has a rate of its own."""
    there = trained_parts(model)
    missing = [part for part in rates if part not in there]
    if missing:
        trained = ", ".join(part for part in RATED if part in there)
        raise QweftError(
            f"training.learning_rates.{missing[0]}: the adapter trains no such part; it trains {trained}; leave it out"
        )


class GradientWatch(TrainerCallback, ExportableState):
    """Measures each part's gradient norm before an optimizer step, after clipping, and warns of circuits' gradients."""

    def __init__(self, every: int = 1) -> None:
        self._every = every
        self._parts: dict[str, list[torch.nn.Parameter]] | None = None
        self.norms: dict[str, float] = {}
        self.step = 0
        self.warnings: list[str] = []
        self.vanished = 0

    def state(self) -> dict[str, Any]:
        """Return what the trainer stores in a checkpoint."""
        return {"args": {}, "attributes": {name: getattr(self, name) for name in ("warnings", "vanished")}}

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """Measure the norms and check the circuit's."""
        step = state.global_step + 1
        if step % self._every:
            return
        self.step = step
        self._parts = self._parts or trained_parts(model)
        squares: dict[str, float] = {}
        sizes: Counter[str] = Counter()
        for part, members in self._parts.items():
            gradients = [whole(member.grad) for member in members if member.grad is not None]
            sizes[part] = sum(gradient.numel() for gradient in gradients)
            squares[part] = float(sum((gradient.double().square().sum() for gradient in gradients), torch.zeros(())))
        self.norms = {part: math.sqrt(square) for part, square in squares.items()}
        if "circuit" in squares and len(squares) > 1 and all(map(math.isfinite, squares.values())):
            others = [part for part in squares if part != "circuit"]
            rest = sum(squares[part] for part in others) / max(1, sum(sizes[part] for part in others))
            self._check(step, math.sqrt(squares["circuit"] / max(1, sizes["circuit"])), math.sqrt(rest))

    def scaled(self, total: float) -> dict[str, float]:
        """Return the norms by part before clipping, from the norm of the full gradient before clipping."""
        now = math.sqrt(sum(norm**2 for norm in self.norms.values()))
        return {part: norm * total / now if now else norm for part, norm in self.norms.items()}

    def _check(self, step: int, circuit: float, rest: float) -> None:
        """Check the root mean squares of the gradients of the circuit and of the other parts."""
        self.vanished = self.vanished + 1 if rest > 0 and circuit < VANISHED * rest else 0
        if self.vanished == IN_A_ROW and not self.warnings:
            self.warnings.append(
                f"step {step}: the circuits' gradients have vanished: for {IN_A_ROW} steps their root mean square is "
                f"below {VANISHED:g} of the other parts' ({circuit:.1e} against {rest:.1e}), so they do not learn; try "
                "fewer qubits or layers (adapter.r, adapter.circuit_layers), or training.learning_rates.circuit"
            )


class RunTrainer(Trainer):
    """A `Trainer` with an evaluation's loss, and learning rates and gradient norms by part."""

    def __init__(self, rates: Mapping[str, float], watch: GradientWatch, **kwargs: Any) -> None:
        self._rates = rates
        self._watch = watch
        method = getattr(kwargs["model"], "peft_type", None)
        super().__init__(**kwargs, compute_loss_func=None if method in ADD_TO_LOSS else target_loss)
        if method == "CPT":  # its loss is each batch's own mean, and the trainer has to average the batches
            self.model_accepts_loss_kwargs = False

    def compute_loss(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """Return the loss of a batch; where it is `target_loss`, the model computes the logits that it reads alone."""
        if self.compute_loss_func is None:
            return super().compute_loss(model, inputs, *args, **kwargs)
        with logits_of_targets(self.model, inputs["labels"]):
            return super().compute_loss(model, inputs, *args, **kwargs)

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """Create the trainer's optimizer, and split its groups by part if there are per-part rates."""
        is_new = self.optimizer is None
        optimizer = super().create_optimizer(model)
        if is_new and self._rates:
            trained: Any = self.model if model is None else model
            parts, groups = parts_of(trained), []
            for group in optimizer.param_groups:
                for part in RATED:
                    members = [each for each in group["params"] if parts.get(id(each), OTHER) == part]
                    if members:
                        rate = self._rates.get(part, group["lr"])
                        groups.append({**group, "params": members, "lr": rate, "part": part})
            optimizer.param_groups[:] = groups
        return optimizer

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add gradient norms and learning rates by part to the log."""
        if "grad_norm" in logs and self._watch.step == self.state.global_step:
            norms = self._watch.scaled(float(logs["grad_norm"]))
            if len(norms) > 1:
                # no name continues that of the whole, of which DVCLive makes a file
                logs |= {f"grad_norm_of/{part}": norm for part, norm in norms.items()}
            if self._rates and self.optimizer is not None:
                groups = {group["part"]: group["lr"] for group in self.optimizer.param_groups}
                logs |= {f"learning_rate_of/{part}": float(rate) for part, rate in groups.items()}
        super().log(logs, start_time)
