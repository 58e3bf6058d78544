"""A `Trainer` with per-part learning rates, gradient monitoring and atomic checkpoints."""

import math
from collections import Counter
from collections.abc import Callable, Mapping
from operator import index
from typing import Any

import numpy as np
import torch
from transformers import TrainerCallback

from qweft.adapter.branch import parts_of
from qweft.errors import QweftError
from qweft.evaluation.loss import target_loss
from qweft.internals.trainer import SavingTrainer
from qweft.method.names import OTHER, RATED
from qweft.text import cut
from qweft.training.callbacks import RunCallbacks
from qweft.training.distributed import whole


def split_by_part(optimizer: torch.optim.Optimizer, model: Any, rates: Mapping[str, float]) -> None:
    """Split the optimizer's parameter groups by part and set each part's learning rate.

    Parts without a rate keep the rate of their group. Call it before creating the learning rate scheduler and before
    the first step.

    Args:
        optimizer: The optimizer; its groups are replaced.
        model: The model whose parameters it holds.
        rates: Peak learning rate by part.

    Raises:
        QweftError: If the model does not train a part that has a rate.
    """
    check_rates(model, rates)
    parts = parts_of(model)
    groups = []
    for group in optimizer.param_groups:
        for part in RATED:
            members = [parameter for parameter in group["params"] if parts.get(id(parameter), OTHER) == part]
            if members:
                rate = rates.get(part, group["lr"])
                groups.append({**group, "params": members, "lr": rate, "part": part})
    optimizer.param_groups[:] = groups


def check_rates(model: torch.nn.Module, rates: Mapping[str, float]) -> None:
    """Check that the model trains each part that has a rate of its own.

    Raises:
        QweftError: It does not train one.
    """
    parts = parts_of(model)
    there = {parts.get(id(parameter), OTHER) for parameter in model.parameters() if parameter.requires_grad}
    missing = [part for part in rates if part not in there]
    if missing:
        trained = ", ".join(part for part in RATED if part in there)
        raise QweftError(
            f"training.learning_rates.{missing[0]}: the adapter trains no such part; it trains {trained}; leave it out"
        )


VANISHED = 1e-5
"""Circuit gradients vanish if their root mean square is below this fraction of the other parts'."""
EXPLODED = 1e3
"""Circuit gradients explode if their root mean square exceeds this multiple of its median so far."""
IN_A_ROW = 5
"""Consecutive steps before the warning that gradients vanish, and earlier steps that the median needs."""

MOST_EARLIER = 10_000
"""Most sizes of earlier gradients that a checkpoint keeps for that median: a record that is read has a largest size."""


class GradientWatch(TrainerCallback):
    """Measures each part's gradient norm before an optimizer step, and warns if circuit gradients vanish or explode.

    The trainer has already clipped the gradient by then; `scaled` undoes the clipping with the norm that the trainer
    logs.

    Args:
        every: Measure every this many steps.

    Attributes:
        norms: Norm of the gradient by part, at the step below.
        step: The last step that was measured.
    """

    def __init__(self, every: int = 1) -> None:
        self._every = every
        self._parts: dict[str, list[torch.nn.Parameter]] | None = None
        self.norms: dict[str, float] = {}
        self.step = 0
        self.warnings: list[str] = []
        self._vanished = 0
        self._earlier: list[float] = []

    def state(self) -> dict[str, Any]:
        """Return the state that a checkpoint stores, as JSON can hold it."""
        return {"warnings": self.warnings, "vanished": self._vanished, "earlier": self._earlier[-MOST_EARLIER:]}

    def restore(self, extra: Mapping[str, Any]) -> None:
        """Restore what `state` returned, from a checkpoint that a stranger may have made.

        Args:
            extra: What the checkpoint stores beside the trainer's state; earlier versions stored nothing of this.

        Raises:
            QweftError: It is damaged.
        """
        state = extra.get("gradients")
        if state is None:
            return
        try:
            if not all(isinstance(each, str) and ":" in each for each in state["warnings"]):
                raise ValueError("a warning is none")
            self.warnings = [cut(each) for each in state["warnings"][:2]]  # one of a kind
            self._vanished, self._earlier = index(state["vanished"]), [float(each) for each in state["earlier"]]
        except (LookupError, TypeError, ValueError) as error:
            raise QweftError(
                f"the checkpoint's state of the gradients is damaged ({str(error)[:200]}); remove the checkpoints to "
                "train anew"
            ) from error

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """Measure the norms and check the circuit's."""
        step = state.global_step + 1
        if step % self._every:
            return
        self.step = step
        squares, sizes = self._squares(model)
        self.norms = {part: math.sqrt(square) for part, square in squares.items()}
        if "circuit" in squares and len(squares) > 1:
            self._look(step, squares, sizes)

    def scaled(self, total: float) -> dict[str, float]:
        """Return the norms by part before clipping.

        Args:
            total: The norm of the full gradient before clipping.
        """
        now = math.sqrt(sum(norm**2 for norm in self.norms.values()))
        return {part: norm * total / now if now else norm for part, norm in self.norms.items()}

    def _squares(self, model: Any) -> tuple[dict[str, float], Counter[str]]:
        if self._parts is None:
            self._parts, parts = {}, parts_of(model)
            for parameter in model.parameters():
                if parameter.requires_grad:
                    self._parts.setdefault(parts.get(id(parameter), OTHER), []).append(parameter)
        squares: dict[str, float] = {}
        sizes: Counter[str] = Counter()
        for part, members in self._parts.items():
            gradients = [whole(member.grad) for member in members if member.grad is not None]
            sizes[part] = sum(gradient.numel() for gradient in gradients)
            squares[part] = float(sum((gradient.double().square().sum() for gradient in gradients), torch.zeros(())))
        return squares, sizes

    def _look(self, step: int, squares: dict[str, float], sizes: Counter[str]) -> None:
        if not all(map(math.isfinite, squares.values())):
            return  # the loss is NaN or infinite; `fit` reports that
        others = sum(square for part, square in squares.items() if part != "circuit")
        circuit = math.sqrt(squares["circuit"] / max(1, sizes["circuit"]))
        rest = math.sqrt(others / max(1, sum(size for part, size in sizes.items() if part != "circuit")))
        self._vanished = self._vanished + 1 if rest > 0 and circuit < VANISHED * rest else 0
        if self._vanished == IN_A_ROW:
            self._warn(
                f"step {step}: the circuits' gradients have vanished: for {IN_A_ROW} steps their root mean square is "
                f"below {VANISHED:g} of the other parts' ({circuit:.1e} against {rest:.1e}), so they do not learn; try "
                "fewer qubits or layers (adapter.r, adapter.circuit_layers), or training.learning_rates.circuit"
            )
        middle = sorted(self._earlier)[len(self._earlier) // 2] if len(self._earlier) >= IN_A_ROW else 0.0
        if middle > 0 and circuit > EXPLODED * middle:
            self._warn(
                f"step {step}: the circuits' gradients explode: {circuit:.1e} a parameter, {circuit / middle:,.0f} "
                "times their median so far; lower training.learning_rate, or training.learning_rates.circuit"
            )
        self._earlier.append(circuit)

    def _warn(self, sentence: str) -> None:
        """Add the warning unless there is one of its kind; the text between the first two colons is the kind."""
        kind = sentence.split(":")[1]
        if not any(kind in earlier for earlier in self.warnings):
            self.warnings.append(sentence)


class ResumedState(TrainerCallback):
    """Checks a checkpoint's numbers that compiled code or the trainer takes on trust; `fit` names the checkpoint.

    torch compares no shapes as it loads an optimizer's state, and the fused AdamW takes them from the parameter. NumPy
    takes any position in its generator's numbers. Both would go beyond their memory. The trainer reads what it
    logged and counted only after its first step, when an error would be the run's own.
    """

    def __init__(self) -> None:
        self._is_checked = False

    def on_train_begin(self, args: Any, state: Any, control: Any, optimizer: Any = None, **kwargs: Any) -> None:
        """Check the trainer's state, and lay out the optimizer's as its parameters are; both were loaded just before.

        Raises:
            ValueError: A part of it has another shape or type, or a learning rate is no plain number.
            OverflowError: The number of floating-point operations is none that a float can be.
        """
        for name, kind in (("log_history", list), ("total_flos", int | float)):
            if not isinstance(getattr(state, name), kind):
                raise ValueError(f"the trainer's {name} is a {type(getattr(state, name)).__name__}")
        float(state.total_flos)  # the trainer adds floats to it
        for group in optimizer.param_groups:
            if not isinstance(group["lr"], int | float):
                raise ValueError(f"the optimizer's learning rate is a {type(group['lr']).__name__}")
            for parameter in group["params"]:
                _lay_out(optimizer.state.get(parameter, {}), parameter, bool(group.get("fused")))

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        """Check the position of NumPy's generator, which the trainer loads just before its first step.

        Raises:
            ValueError: It is beyond the generator's numbers.
        """
        if self._is_checked:
            return
        self._is_checked = True
        loaded: Any = np.random.get_state()
        numbers, place = len(loaded[1]), loaded[2]
        if not 0 <= place <= numbers:
            np.random.seed(0)  # the process may go on, and must not draw from there
            raise ValueError(f"NumPy's generator stands at {place:,} of {numbers} numbers")


def _lay_out(kept: dict[str, Any], parameter: torch.Tensor, is_fused: bool) -> None:
    for name, value in kept.items():
        shape = tuple(value.shape) if isinstance(value, torch.Tensor) else type(value).__name__
        if name == "step":
            if not isinstance(value, torch.Tensor) or value.numel() != 1:
                raise ValueError(f"the optimizer's step is {shape}, and no single number")
            kept[name] = value.to(parameter.device, torch.float32) if is_fused else value
        elif shape != tuple(parameter.shape):
            raise ValueError(f"the optimizer's {name} is {shape}, and its parameter {tuple(parameter.shape)}")
        else:
            kept[name] = torch.zeros_like(parameter).copy_(value)  # one number, repeated, has memory of one


ADD_TO_LOSS = ("ADALORA", "CPT", "SHADOW")
"""Methods of PEFT that add a term to the model's own loss, or weigh its targets."""


class RunTrainer(SavingTrainer):
    """A `Trainer` with an evaluation's loss, learning rates and gradient norms by part, and atomic checkpoints.

    Args:
        rates: Peak learning rate by part; empty means one rate for all.
        watch: Measures the parts' gradient norms.
        callbacks: The run's checkpoints.
        kwargs: As for `transformers.Trainer`.
    """

    def __init__(
        self,
        rates: Mapping[str, float],
        watch: GradientWatch,
        callbacks: RunCallbacks,
        **kwargs: Any,
    ) -> None:
        self._rates = rates
        self._watch = watch
        self._checkpoints = callbacks.checkpoints
        method = getattr(kwargs["model"], "peft_type", None)
        super().__init__(**kwargs, callbacks=None, compute_loss_func=None if method in ADD_TO_LOSS else target_loss)
        if method == "CPT":  # its loss is each batch's own mean, and the trainer has to average the batches
            self.model_accepts_loss_kwargs = False
        self.add_callback(watch)
        self.add_callback(ResumedState())
        if callbacks.checkpoints is not None:
            callbacks.checkpoints.extra["gradients"] = watch.state
        if callbacks.found is not None:
            watch.restore(callbacks.found.extra)

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """Create the trainer's optimizer, and split its groups by part if there are per-part rates."""
        is_new = self.optimizer is None
        optimizer = super().create_optimizer(model)
        if is_new and self._rates:
            split_by_part(optimizer, self.model if model is None else model, self._rates)
        return optimizer

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add gradient norms and learning rates by part to the log.

        No name continues that of the whole, of which DVCLive makes a file.
        """
        if "grad_norm" in logs and self._watch.step == self.state.global_step:
            norms = self._watch.scaled(float(logs["grad_norm"]))
            if len(norms) > 1:
                logs |= {f"grad_norm_of/{part}": norm for part, norm in norms.items()}
            if self._rates and self.optimizer is not None:
                groups = {group["part"]: group["lr"] for group in self.optimizer.param_groups}
                logs |= {f"learning_rate_of/{part}": float(rate) for part, rate in groups.items()}
        super().log(logs, start_time)

    def save_checkpoint(self, save: Callable[[], object]) -> None:
        """Save a checkpoint to the staging folder, and move it to its place once it is on the disk.

        A full disk costs this checkpoint, but not the run.
        """
        if self._checkpoints is None:
            return
        kept = self._checkpoints
        failed: Exception | None = None
        try:
            if self.args.should_save:
                kept.clear_staging()
            self.accelerator.wait_for_everyone()
            save()
        except Exception as error:  # safetensors, torch and the system raise different errors for a full disk
            failed = error
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            kept.keep(self.state.global_step, failed)
        self.accelerator.wait_for_everyone()
