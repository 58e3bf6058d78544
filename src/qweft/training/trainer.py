"""A `Trainer` with learning rates by part, a watch of gradients, and atomic checkpoints."""

import math
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import torch
from transformers import TrainerCallback

from qweft.adapter.branch import OTHER, PARTS, part_of
from qweft.errors import QweftError
from qweft.internals.trainer import SavingTrainer
from qweft.training.checkpoints import Checkpoints
from qweft.training.distributed import whole

RATED = (*PARTS, OTHER)


def check_rates(rates: Mapping[str, float]) -> None:
    """See that each rate is of a part, and a rate.

    Raises:
        QweftError: Naming the key, the value, and what it may be.
    """
    for part, rate in rates.items():
        if part not in RATED:
            raise QweftError(f"training.learning_rates.{part}: there is no such part; there are {', '.join(RATED)}")
        if not 0 <= rate < float("inf"):
            raise QweftError(f"training.learning_rates.{part} must be a number of at least 0, got {rate}")


def split_by_part(optimizer: torch.optim.Optimizer, model: Any, rates: Mapping[str, float]) -> None:
    """Split the optimizer's groups by part, each with its rate; parts without one keep that of their group.

    To be called before a schedule is laid over the rates, and before the first step.

    Args:
        optimizer: Its groups are replaced.
        model: The model whose parameters are in it.
        rates: Peak learning rate by part.

    Raises:
        QweftError: If a rate is given for a part that the model does not train.
    """
    parts = {id(parameter): part_of(name) for name, parameter in model.named_parameters()}
    groups = []
    for group in optimizer.param_groups:
        for part in RATED:
            members = [parameter for parameter in group["params"] if parts.get(id(parameter), OTHER) == part]
            if members:
                rate = rates.get(part, group["lr"])
                groups.append({**group, "params": members, "lr": rate, "part": part})
    missing = [part for part in rates if part not in {group["part"] for group in groups}]
    if missing:
        trained = ", ".join(dict.fromkeys(group["part"] for group in groups))
        raise QweftError(
            f"training.learning_rates.{missing[0]}: the adapter trains no such part; it trains {trained}; leave it out"
        )
    optimizer.param_groups[:] = groups


VANISHED = 1e-5
"""The circuit's gradients have vanished where their root mean square is below that share of the other parts'."""
EXPLODED = 1e3
"""They explode above so many times their own median so far."""
IN_A_ROW = 5
"""Steps in a row that it takes."""


class GradientWatch(TrainerCallback):
    """Measures the norm of the gradient of each part before each optimizer step.

    The trainer has shortened the gradient by then; `scaled` undoes that with the norm that the trainer logs.

    Args:
        every: Only each so-many-th step is measured.
    """

    def __init__(self, every: int = 1) -> None:
        self._every = every
        self._parts: dict[str, list[torch.nn.Parameter]] | None = None
        self.norms: dict[str, float] = {}
        self.warnings: list[str] = []
        self._vanished = 0
        self._earlier: list[float] = []

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """Measure, and look at the circuit."""
        step = state.global_step + 1
        if step % self._every:
            return
        squares, sizes = self._squares(model)
        self.norms = {part: math.sqrt(square) for part, square in squares.items()}
        if "circuit" in squares and len(squares) > 1:
            self._look(step, squares, sizes)

    def scaled(self, total: float) -> dict[str, float]:
        """The norms before the gradient was shortened.

        Args:
            total: The norm of the whole gradient then.
        """
        now = math.sqrt(sum(norm**2 for norm in self.norms.values()))
        return {part: norm * total / now if now else norm for part, norm in self.norms.items()}

    def _squares(self, model: Any) -> tuple[dict[str, float], Counter[str]]:
        if self._parts is None:
            self._parts = {}
            for name, parameter in model.named_parameters():
                if parameter.requires_grad:
                    self._parts.setdefault(part_of(name), []).append(parameter)
        squares: dict[str, float] = {}
        sizes: Counter[str] = Counter()
        for part, members in self._parts.items():
            gradients = [whole(member.grad) for member in members if member.grad is not None]
            sizes[part] = sum(gradient.numel() for gradient in gradients)
            squares[part] = float(sum((gradient.double().square().sum() for gradient in gradients), torch.zeros(())))
        return squares, sizes

    def _look(self, step: int, squares: dict[str, float], sizes: Counter[str]) -> None:
        if not all(map(math.isfinite, squares.values())):
            return  # the loss is not a number, which is told elsewhere
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
        """Once for each kind: the words before the first figure tell the kind."""
        kind = sentence.split(":")[1]
        if not any(kind in earlier for earlier in self.warnings):
            self.warnings.append(sentence)


class RunTrainer(SavingTrainer):
    """Rates by part, norms by part in the log, checkpoints that are whole or not there.

    Args:
        rates: Peak learning rate by part; empty for one rate.
        watch: It measures the parts' gradients.
        checkpoints: Where checkpoints go; none where there are none.
        kwargs: As for transformers' trainer.
    """

    def __init__(
        self, rates: Mapping[str, float], watch: GradientWatch, checkpoints: Checkpoints | None, **kwargs: Any
    ) -> None:
        self._rates = rates
        self._watch = watch
        self._checkpoints = checkpoints
        super().__init__(**kwargs, callbacks=None)
        self.add_callback(watch)

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """The trainer's own, its groups split by part where parts have rates of their own."""
        is_new = self.optimizer is None
        optimizer = super().create_optimizer(model)
        if is_new and self._rates:
            split_by_part(optimizer, self.model if model is None else model, self._rates)
        return optimizer

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log the norms by part, and their rates, too."""
        if "grad_norm" in logs:
            norms = self._watch.scaled(float(logs["grad_norm"]))
            if len(norms) > 1:
                logs |= {f"grad_norm/{part}": norm for part, norm in norms.items()}
            if self._rates and self.optimizer is not None:
                groups = {group["part"]: group["lr"] for group in self.optimizer.param_groups}
                logs |= {f"learning_rate/{part}": float(rate) for part, rate in groups.items()}
        super().log(logs, start_time)

    def save_checkpoint(self, save: Callable[[], object]) -> None:
        """Beside the others first, and renamed when all of it is on the disk.

        A disk that is full costs this checkpoint, and not the run.
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
        except Exception as error:  # safetensors, torch and the system each have their own for a full disk
            failed = error
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            kept.keep(self.state.global_step, failed)
        self.accelerator.wait_for_everyone()
