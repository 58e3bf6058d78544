"""Converts an adapter with circuits to a LoRA: the linear part exactly, the circuits by a linear fit."""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import torch
from torch import nn

from qweft.adapter import QwthnLinear
from qweft.adapter.attach import base_of
from qweft.circuit.precision import exact_products
from qweft.errors import QweftError
from qweft.evaluation.loss import judged
from qweft.exporting.fit import HALVES, Fit, Moments, fit_features, moments_of
from qweft.exporting.lora import Lora, padded, trained_whole
from qweft.text import progress


def layers_of(model: Any, adapter_name: str) -> dict[str, QwthnLinear]:
    """Return the layers with this adapter by their names in the base model."""
    base: nn.Module = base_of(model)
    layers = {
        name: module
        for name, module in base.named_modules()
        if isinstance(module, QwthnLinear) and adapter_name in module.qwthn_compress
    }
    if not layers:
        raise QweftError(f"the model has no QWTHN adapter {adapter_name!r}; export takes one that qweft trained")
    return layers


def linearise(
    model: Any, batches: Sequence[Mapping[str, Any]], adapter_name: str = "default"
) -> tuple[Lora, dict[str, float]]:
    """Return the LoRA closest to an adapter on the tokens of some batches, and what each layer's `Fit` explains.

        y = W0 x + s E (Q q(C x) + K C x)   becomes   y = W0 x + B A x,   B = s E,   A = Q G + K C

    G is the best linear map for q(C x), or for q(c) * c, on these tokens; see `fit_features`. The rank of the LoRA is
    the largest rank of the adapter's layers. Without a circuit nothing is fitted. The adapter becomes the active one.
    Batches are inputs of the model, on its device, with at least two rows.
    """
    layers = layers_of(model, adapter_name)
    if any(layer.merged for layer in layers.values()):
        raise QweftError(f"adapter {adapter_name!r} is merged into the base model; call unmerge_adapter() first")
    config = model.peft_config[adapter_name]
    if config.bias != "none" or config.trainable_token_indices:
        raise QweftError(
            "biases or single tokens of the base model were trained with this adapter, which an exported LoRA does not "
            "take along; train without bias and trainable_token_indices, or use modules_to_save"
        )
    model.set_adapter(adapter_name)
    cores: dict[str, Any] = {name: layer.qwthn_core[adapter_name] for name, layer in layers.items()}
    fitted = {name: layer for name, layer in layers.items() if getattr(cores[name], "circuit_features", 0)}
    if fitted and sum(len(next(iter(batch.values()))) for batch in batches) < HALVES:
        raise QweftError("a circuit is fitted to rows of text, and checked on others: give at least two rows")

    def features(name: str, x: torch.Tensor) -> torch.Tensor:
        prepared = layers[name].prepared(adapter_name)
        with exact_products(x.device):
            c = x.to(prepared.compress.dtype) @ prepared.compress.T
        made: torch.Tensor = cores[name].features(c, *prepared.angles)[:, : cores[name].circuit_features]
        return made.float()

    rank = max(layer.qwthn_r[adapter_name] for layer in layers.values())
    down, up, explained = {}, {}, {}
    with judged(model), progress("making the LoRA", len(layers), "layer") as tick:
        exact = ((name, None) for name in layers if name not in fitted)
        for name, moments in chain(exact, moments_of(model, fitted, batches, features)):
            matrices, fit = _linearise_layer(layers[name], adapter_name, moments)
            down[name], up[name] = padded(*matrices, rank)
            if fit is not None:
                explained[name] = fit.explained
            tick(1)
    return Lora(rank, down, up, trained_whole(model, adapter_name)), explained


@torch.no_grad()
def _linearise_layer(
    layer: QwthnLinear, adapter_name: str, halves: Sequence[Moments] | None
) -> tuple[tuple[torch.Tensor, torch.Tensor], Fit | None]:
    """Return (A, B) of one layer in float64 on the CPU, and the fit of its circuit."""
    branch = layer.branch_of(adapter_name)
    compress = branch.compress.matrix().double().cpu()  # C (r, d_in)
    expand = branch.expand.matrix().double().cpu()  # E (d_out, r)
    core = [tensor.double().cpu() for tensor in branch.core.tensors()]
    mix = branch.core.combine(torch.eye(len(compress), dtype=torch.float64), core)  # h = mix f
    own = branch.core.circuit_features
    fit, features = None, compress
    if own:
        assert halves is not None  # moments of every layer with a circuit were recorded
        effect = expand @ mix[:, :own]
        fit = fit_features(halves, compress, effect.T @ effect)
        rest = mix.shape[1] - own  # c after K, or the entries of c that no qubit reads
        features = torch.cat([fit.matrix, compress[len(compress) - rest :]])
    return (mix @ features, expand * layer.scaling[adapter_name]), fit
