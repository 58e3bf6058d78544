"""Norms of the gradients by part, and warnings where circuit gradients vanish or explode."""

import math
from collections import Counter
from typing import Any

import torch
from transformers import TrainerCallback
from transformers.trainer_callback import ExportableState

from qweft.adapter.branch import parts_of
from qweft.method.names import OTHER
from qweft.training.distributed import whole

VANISHED = 1e-5
"""Circuit gradients vanish if their root mean square is below this fraction of the other parts'."""
EXPLODED = 1e3
"""Circuit gradients explode if their root mean square exceeds this multiple of its median so far."""
IN_A_ROW = 5
"""Consecutive steps before the warning that gradients vanish, and earlier steps that the median needs."""


class GradientWatch(TrainerCallback, ExportableState):
    """Measures each part's gradient norm before an optimizer step, and warns if circuit gradients vanish or explode.

    The trainer has already clipped the gradient by then; `scaled` undoes the clipping with the norm that the trainer
    logs.
    """

    def __init__(self, every: int = 1) -> None:
        self._every = every
        self._parts: dict[str, list[torch.nn.Parameter]] | None = None
        self.norms: dict[str, float] = {}
        self.step = 0
        self.warnings: list[str] = []
        self.vanished = 0
        self.earlier: list[float] = []

    def state(self) -> dict[str, Any]:
        """Return what the trainer stores in a checkpoint."""
        return {"args": {}, "attributes": {name: getattr(self, name) for name in ("warnings", "vanished", "earlier")}}

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """Measure the norms and check the circuit's."""
        step = state.global_step + 1
        if step % self._every:
            return
        self.step = step
        squares, sizes = self._squares(model)
        self.norms = {part: math.sqrt(square) for part, square in squares.items()}
        if "circuit" in squares and len(squares) > 1:
            self._check(step, squares, sizes)

    def scaled(self, total: float) -> dict[str, float]:
        """Return the norms by part before clipping, from the norm of the full gradient before clipping."""
        now = math.sqrt(sum(norm**2 for norm in self.norms.values()))
        return {part: norm * total / now if now else norm for part, norm in self.norms.items()}

    def _squares(self, model: Any) -> tuple[dict[str, float], Counter[str]]:
        """Return the sum of squares and the number of values of each part's gradient."""
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

    def _check(self, step: int, squares: dict[str, float], sizes: Counter[str]) -> None:
        if not all(map(math.isfinite, squares.values())):
            return  # the loss is NaN or infinite; `fit` reports that
        others = [part for part in squares if part != "circuit"]
        circuit = math.sqrt(squares["circuit"] / max(1, sizes["circuit"]))
        rest = math.sqrt(sum(squares[part] for part in others) / max(1, sum(sizes[part] for part in others)))
        self.vanished = self.vanished + 1 if rest > 0 and circuit < VANISHED * rest else 0
        if self.vanished == IN_A_ROW:
            self._warn(
                f"step {step}: the circuits' gradients have vanished: for {IN_A_ROW} steps their root mean square is "
                f"below {VANISHED:g} of the other parts' ({circuit:.1e} against {rest:.1e}), so they do not learn; try "
                "fewer qubits or layers (adapter.r, adapter.circuit_layers), or training.learning_rates.circuit"
            )
        middle = sorted(self.earlier)[len(self.earlier) // 2] if len(self.earlier) >= IN_A_ROW else 0.0
        if middle > 0 and circuit > EXPLODED * middle:
            self._warn(
                f"step {step}: the circuits' gradients explode: {circuit:.1e} a parameter, {circuit / middle:,.0f} "
                "times their median so far; lower training.learning_rate, or training.learning_rates.circuit"
            )
        self.earlier.append(circuit)

    def _warn(self, sentence: str) -> None:
        """Add the warning unless there is one of its kind; the text between the first two colons is the kind."""
        kind = sentence.split(":")[1]
        if not any(kind in earlier for earlier in self.warnings):
            self.warnings.append(sentence)
