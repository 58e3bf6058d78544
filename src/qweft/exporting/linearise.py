"""Converts an adapter with circuits to a LoRA: the linear part exactly, the circuits by a linear fit."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from qweft.adapter import QwthnLinear
from qweft.circuit.precision import exact_products
from qweft.core.errors import QweftError
from qweft.core.progress import progress
from qweft.evaluation.loss import judged
from qweft.exporting.fit import HALVES, Moments, fit_features, moments_of
from qweft.exporting.lora import NAME, Lora, trained_whole, tuner_layers


def layers_of(model: Any) -> dict[str, QwthnLinear]:
    """Return this package's layers by their names in the base model."""
    return {name: layer for name, layer in tuner_layers(model).items() if isinstance(layer, QwthnLinear)}


def linearise(model: Any, batches: Sequence[Mapping[str, Any]]) -> tuple[Lora, dict[str, float]]:
    """Return the LoRA B = s E, A = Q G + K C, G by `fit_features` on batches, and what each layer's fit explains."""
    layers = layers_of(model)
    cores: dict[str, Any] = {name: layer.qwthn_core[NAME] for name, layer in layers.items()}
    fitted = {name: layer for name, layer in layers.items() if cores[name].circuit_features}
    if fitted and sum(len(next(iter(batch.values()))) for batch in batches) < HALVES:
        raise QweftError("a circuit is fitted to rows of text, and checked on others: give at least two rows")

    def features(name: str, x: torch.Tensor) -> torch.Tensor:
        prepared: Any = layers[name].prepared(NAME)
        with exact_products(x.device):
            c = x.to(prepared.compress.dtype) @ prepared.compress.T
        made: torch.Tensor = cores[name].features(c, *prepared.angles)[:, : cores[name].circuit_features]
        return made.float()

    explained: dict[str, float] = {}
    with judged(model), progress("making the LoRA", len(fitted), "layer") as tick:
        pairs = {name: _linear(layer)[0] for name, layer in layers.items() if name not in fitted}
        for name, halves in moments_of(model, fitted, batches, features):
            pairs[name], explained[name] = _linear(layers[name], halves)
            tick(1)
    return Lora.of(pairs, trained_whole(model)), explained


@torch.no_grad()
def _linear(layer: QwthnLinear, halves: Sequence[Moments] = ()) -> tuple[tuple[torch.Tensor, torch.Tensor], float]:
    """Return (A, B) of one layer in float64 on the CPU, and what the fit of its circuit, if it has one, explains."""
    branch = layer.branch_of(NAME)
    compress = branch.compress.matrix().double().cpu()  # C (r, d_in)
    expand = branch.expand.matrix().double().cpu()  # E (d_out, r)
    core = [tensor.double().cpu() for tensor in branch.core.tensors()]
    mix = branch.core.combine(torch.eye(len(compress), dtype=torch.float64), core)  # h = mix f
    own = branch.core.circuit_features
    explained, features = 1.0, compress
    if own:
        effect = expand @ mix[:, :own]
        fit, explained = fit_features(halves, compress, effect.T @ effect)
        rest = mix.shape[1] - own  # c after K, or the entries of c that no qubit reads
        features = torch.cat([fit, compress[len(compress) - rest :]])
    return (mix @ features, expand * layer.scaling[NAME]), explained
