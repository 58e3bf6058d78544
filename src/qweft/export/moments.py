"""What a fit needs to know of a layer's tokens: second moments of its input and of its circuit's features."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from qweft.adapter import QwthnLinear
from qweft.circuit.precision import exact_products
from qweft.evaluation.padding import beyond_the_mask, rows_and_kept

HALVES = 2
"""Even and odd rows apart: what one half fits, the other one checks."""


class Moments:
    """Sums over tokens: of x x^T, f x^T, f f^T, x and f, in float64, and the number of tokens.

    Args:
        inputs: d, the length of x.
        features: The length of f.
    """

    def __init__(self, inputs: int, features: int) -> None:
        self.tokens = 0
        self.xx = torch.zeros(inputs, inputs, dtype=torch.float64)
        self.fx = torch.zeros(features, inputs, dtype=torch.float64)
        self.ff = torch.zeros(features, features, dtype=torch.float64)
        self.x = torch.zeros(inputs, dtype=torch.float64)
        self.f = torch.zeros(features, dtype=torch.float64)

    def __add__(self, other: "Moments") -> "Moments":
        total = Moments(len(self.x), len(self.f))
        total.tokens = self.tokens + other.tokens
        for name in ("xx", "fx", "ff", "x", "f"):
            setattr(total, name, getattr(self, name) + getattr(other, name))
        return total

    def add(self, x: torch.Tensor, f: torch.Tensor, xx: torch.Tensor) -> None:
        """Add tokens: x (tokens, d), f (tokens, features), and x^T x, which layers with the same input share."""
        self.tokens += len(x)
        self.xx += xx
        self.fx += (f.T @ x).cpu().double()
        self.ff += (f.T @ f).cpu().double()
        self.x += x.sum(0).cpu().double()
        self.f += f.sum(0).cpu().double()


class _Watcher:
    """Takes down the moments of some layers while the model runs."""

    def __init__(self, layers: Mapping[str, QwthnLinear], adapter_name: str, decoders: set[nn.Module]) -> None:
        self.adapter_name = adapter_name
        self.decoders = decoders
        self.mask: torch.Tensor | None = None  # (rows, tokens), false where a row is padded
        self.rows_before = 0
        self.moments = {
            name: [Moments(layer.in_features, _circuit_features(layer, adapter_name)) for _ in range(HALVES)]
            for name, layer in layers.items()
        }
        self._seen: tuple[torch.Tensor, list[tuple[torch.Tensor, torch.Tensor]]] | None = None

    def hook(self, name: str) -> Any:
        """A forward pre-hook for the layer of that name."""

        def before(layer: QwthnLinear, args: tuple[torch.Tensor, ...]) -> None:
            mask = None if layer in self.decoders else self.mask
            for half, (x, xx) in zip(self.moments[name], self._halves(args[0], mask), strict=True):
                half.add(x, _features(layer, self.adapter_name, x), xx)

        return before

    def _halves(self, x: torch.Tensor, mask: torch.Tensor | None) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """The tokens of even and of odd rows with their x^T x; made once where layers share their input."""
        if self._seen is None or self._seen[0] is not x:
            rows, kept = rows_and_kept(x, mask, self.rows_before)
            odd = rows % 2 == 1
            tokens = x.reshape(-1, x.shape[-1]).float()
            with exact_products(x.device):
                halves = [(part, (part.T @ part).cpu().double()) for part in (tokens[kept & ~odd], tokens[kept & odd])]
            self._seen = x, halves
        return self._seen[1]


def _circuit_features(layer: QwthnLinear, adapter_name: str) -> int:
    core: Any = layer.qwthn_core[adapter_name]
    return int(core.circuit_features)


def _features(layer: QwthnLinear, adapter_name: str, x: torch.Tensor) -> torch.Tensor:
    """What the circuit makes of inputs (tokens, d): (tokens, features) in float32."""
    prepared = layer.prepared(adapter_name)
    core: Any = layer.qwthn_core[adapter_name]
    with exact_products(x.device):
        c = x.to(prepared.compress.dtype) @ prepared.compress.T
    found: torch.Tensor = core.features(c, *prepared.angles)[:, : core.circuit_features].float()
    return found


@contextmanager
def _watching(layers: Mapping[str, QwthnLinear], watcher: _Watcher) -> Iterator[None]:
    hooks = [layer.register_forward_pre_hook(watcher.hook(name)) for name, layer in layers.items()]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@torch.no_grad()
def collect(
    model: nn.Module, layers: Mapping[str, QwthnLinear], adapter_name: str, batches: Iterable[Mapping[str, Any]]
) -> dict[str, Sequence[Moments]]:
    """Run the model on batches and take down the moments of these layers, for even and for odd rows.

    Args:
        model: The adapted model, the adapter active.
        layers: The layers, by name.
        adapter_name: The adapter whose circuit is looked at.
        batches: Inputs of the model; where they hold an `attention_mask`, padding is left out (but in the decoder of a
            model that has an encoder, too).
    """
    watcher = _Watcher(layers, adapter_name, beyond_the_mask(model))
    with _watching(layers, watcher):
        for batch in batches:
            mask = batch.get("attention_mask")
            watcher.mask = mask.bool() if isinstance(mask, torch.Tensor) and mask.dim() == 2 else None
            model(**batch)
            watcher.rows_before += len(next(iter(batch.values())))
    return dict(watcher.moments)
