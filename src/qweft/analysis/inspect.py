"""An adapter on its model, run on real tokens and measured layer by layer; the model is left as it was."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from qweft.adapter import QwthnLinear
from qweft.analysis.affinity import non_affinity
from qweft.analysis.entanglement import meyer_wallach
from qweft.analysis.expressibility import ansatz_expressibility, expressibility
from qweft.analysis.gradients import Norms, gradient_norms
from qweft.analysis.inspection import Inspection, LayerInspection
from qweft.analysis.jacobian import small_jacobians, spread_of
from qweft.analysis.layers import LayerMap, layer_maps
from qweft.analysis.shares import shares_of
from qweft.analysis.tokens import Seen, collect, evenly, rows_of
from qweft.circuit import final_states
from qweft.errors import QweftError
from qweft.evaluation.mode import judged

TOKENS = 256
"""Tokens of a layer that its branch is differentiated at."""
AMPLITUDES = 2**16
"""Amplitudes of states at a time: all 256 tokens up to 8 qubits, 64 at 10."""


@torch.no_grad()
def inspect_adapter(
    model: Any, batches: Sequence[Mapping[str, Any]], adapter_name: str = "default", tokens: int = TOKENS
) -> Inspection:
    """Measure what an adapter does on the tokens of some batches; docs/analysis.md says what each number means.

    Args:
        model: A PEFT model with the adapter: QWTHN, or PEFT's own LoRA. Modes, active adapter, gradients and random
            state are afterwards as they were.
        batches: Inputs of the model; `labels` in the first one give the gradients, which are none without them.
        adapter_name: The adapter.
        tokens: At most so many tokens of a layer are looked at, evenly spread over the text.

    Raises:
        QweftError: If there is no such adapter, it is of another method or merged, or no token reaches a layer.
    """
    if tokens < 1:
        raise QweftError(f"tokens is {tokens}: an adapter is measured on at least one token a layer; 256 are usual")
    layers, left_out = layer_maps(model, adapter_name)
    with _only_active(model, adapter_name), judged(model):
        seen = collect(model, layers, batches)
        reached = {name: layer for name, layer in layers.items() if len(seen[name].c)}
        if not reached:
            raise QweftError("no token reached a layer of the adapter; give at least one row of text")
        modules = {name: module for name, (module, _) in reached.items()}
        gradients = gradient_norms(model, modules, adapter_name, batches[0]) or {}
    return Inspection(
        adapter=adapter_name,
        kind="qwthn" if isinstance(next(iter(modules.values())), QwthnLinear) else "lora",
        rows=rows_of(batches),
        tokens=max(min(len(seen[name].c), tokens) for name in reached),
        layers=[
            _inspect_layer(name, layer_map, seen[name], tokens, gradients.get(name))
            for name, (_, layer_map) in reached.items()
        ],
        left_out=left_out,
        unreached=[name for name in layers if name not in reached],
    )


@contextmanager
def _only_active(model: Any, adapter_name: str) -> Iterator[None]:
    """The adapter as the one active; afterwards those that were, with the parameters trainable that were."""
    active, one = list(model.active_adapters), model.active_adapter
    if active == [adapter_name]:
        yield
        return
    trainable = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    model.set_adapter(adapter_name)
    try:
        yield
    finally:
        model.base_model.set_adapter(active)
        model.active_adapter = one
        for parameter, required in trainable:
            parameter.requires_grad_(required)


def _inspect_layer(name: str, layer_map: LayerMap, seen: Seen, tokens: int, gradients: Norms | None) -> LayerInspection:
    c = evenly(seen.c, tokens)
    spread = spread_of(small_jacobians(layer_map, c))
    branch_square = float((layer_map.features(seen.c) @ layer_map.out.T).square().sum())
    relative = (branch_square / seen.base_square) ** 0.5 if seen.base_square else None
    if layer_map.is_lora:
        return LayerInspection(name, layer_map.rank, spread, relative, gradient_norms=gradients)
    h = layer_map.features(c) @ layer_map.mix.T
    return LayerInspection(
        layer=name,
        rank=layer_map.rank,
        spread=spread,
        relative_size=relative,
        non_affinity=non_affinity(c, h),
        non_affinity_output=non_affinity(c, h @ layer_map.core_out.T),
        shares=shares_of(layer_map, c),
        gradient_norms=gradients,
        **_of_states(layer_map, c),
    )


def _of_states(layer_map: LayerMap, c: torch.Tensor) -> dict[str, float | None]:
    """Entanglement and expressibility of a circuit; nothing without one."""
    circuit, angles = layer_map.circuit, layer_map.angles
    if circuit is None or angles is None:
        return {}
    count = min(len(c), max(2, AMPLITUDES >> circuit.qubits))
    states = final_states(circuit, evenly(c, count), angles)
    entangled = meyer_wallach(states)
    return {
        "entanglement": float(entangled.mean()),
        "entanglement_sd": float(entangled.std()) if len(entangled) > 1 else None,
        "expressibility": expressibility(states),
        "expressibility_ansatz": ansatz_expressibility(circuit, max(2, min(TOKENS, AMPLITUDES >> circuit.qubits))),
    }
