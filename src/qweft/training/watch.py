"""How large the gradients of an adapter's parts are while it trains, and a word when the circuit's are not."""

import math
from collections import Counter
from typing import Any

import torch
from transformers import TrainerCallback

from qweft.adapter.branch import part_of
from qweft.training.sharded import whole

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
