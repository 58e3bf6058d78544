"""The base model under the frozen adapters: its weights and its input come from a formula, not a random generator."""

from collections.abc import Iterable

import torch
from torch import nn


def formula(count: int, offset: int) -> torch.Tensor:
    """Numbers between -1 and 1 in no visible order: the same with every version of everything."""
    return torch.tensor([((k + offset) * 7919 % 1009) / 504 - 1 for k in range(count)], dtype=torch.float32)


def fill(parameters: Iterable[nn.Parameter], scale: float) -> None:
    """Write the formula into parameters."""
    with torch.no_grad():
        for offset, parameter in enumerate(parameters):
            parameter.copy_(scale * formula(parameter.numel(), 101 * offset).view(parameter.shape))


class Base(nn.Module):
    """Two layers; 46 has no useful factors, so that its modes are padded."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(46, 30)
        self.second = nn.Linear(30, 20)
        fill(self.parameters(), 0.2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(torch.tanh(self.first(x)))


def example() -> torch.Tensor:
    """Three rows of input."""
    return formula(3 * 46, 7).view(3, 46)
