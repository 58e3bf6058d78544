"""`qweft inspect`: measures a saved adapter layer by layer on held-out rows."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from qweft.circuit import final_states
from qweft.core.errors import QweftError
from qweft.core.progress import progress, with_progress
from qweft.core.records import write_record
from qweft.data.batches import Collator
from qweft.evaluation.config import EvaluationConfig
from qweft.evaluation.loss import judged
from qweft.evaluation.saved import changes_the_base, load_subject
from qweft.inspect.checks import check_inspection
from qweft.inspect.dequantise import BATCH, dequantise
from qweft.inspect.inspection import Inspection, LayerInspection
from qweft.inspect.jacobian import small_jacobians, spread_of
from qweft.inspect.layers import LayerMap, layer_maps, non_affinity, shares_of
from qweft.inspect.states import ansatz_expressibility, expressibility, meyer_wallach, variance_at_start
from qweft.inspect.tokens import Norms, collect, evenly, gradient_norms

TOKENS = 256
"""Default number of tokens at which the branch of a layer is differentiated."""
AMPLITUDES = 2**16
"""Most amplitudes in memory at a time: 256 tokens fit up to 8 qubits, 64 tokens at 10 qubits."""


@torch.no_grad()
def inspect_adapter(
    model: Any, batches: Sequence[Mapping[str, Any]], adapter_name: str = "default", tokens: int = TOKENS
) -> Inspection:
    """Measure the active adapter on the tokens of some batches. docs/analysis.md explains each number."""
    layers, left_out = layer_maps(model, adapter_name)
    if list(model.active_adapters) != [adapter_name]:
        raise QweftError(f"adapter {adapter_name!r} is not the active one; call set_adapter({adapter_name!r}) before")
    with judged(model):
        with progress("running the text"):
            inputs, squares = collect(model, layers, batches)
        reached = {name: layer for name, layer in layers.items() if len(inputs[name])}
        if not reached:
            raise QweftError("no token reached a layer of the adapter; give at least one row of text")
        modules = {name: module for name, (module, _) in reached.items()}
        gradients = gradient_norms(model, modules, adapter_name, batches[0])
    return Inspection(
        adapter=adapter_name,
        rows=sum(len(next(iter(batch.values()))) for batch in batches),
        tokens=max(min(len(inputs[name]), tokens) for name in reached),
        layers=[
            _inspect_layer(name, layer_map, inputs[name], squares[name], tokens, gradients.get(name))
            for name, (_, layer_map) in with_progress(reached.items(), "inspecting", "layer")
        ],
        left_out=left_out,
        unreached=[name for name in layers if name not in reached],
    )


def _inspect_layer(
    name: str, layer_map: LayerMap, inputs: torch.Tensor, square: float, tokens: int, gradients: Norms | None
) -> LayerInspection:
    """Measure a layer by C x of all its tokens, and the sum of squares of the base layer's outputs."""
    c = evenly(inputs, tokens)
    update = layer_map.features(inputs) @ layer_map.out.T
    if not bool(update.isfinite().all()):
        raise QweftError(
            f"the inputs or the update of layer {name} are beyond what a number holds, so nothing can be measured "
            "there; the adapter's weights or alpha are too large: train it anew with a lower learning rate"
        )
    numbers, spectrum = spread_of(small_jacobians(layer_map, c))
    if square:
        numbers["relative_size"] = (float(update.square().sum()) / square) ** 0.5
    if layer_map.core is not None:
        numbers |= shares_of(layer_map, c)
        f = layer_map.features(c)
        numbers["non_affinity"] = non_affinity(c, f @ layer_map.mix.T)
        numbers["non_affinity_output"] = non_affinity(c, f @ layer_map.out.T)
        numbers |= _of_states(layer_map, c)
    return LayerInspection(name, len(layer_map.compress), numbers, spectrum, gradients)


def _of_states(layer_map: LayerMap, c: torch.Tensor) -> dict[str, float | None]:
    """Return entanglement, expressibility and variances of gradients of the circuit; an empty dict without one."""
    core = layer_map.core
    circuit = getattr(core, "circuit", None)
    if circuit is None:
        return {}
    count = min(len(c), max(2, AMPLITUDES >> circuit.qubits))
    states = final_states(circuit, core.read(evenly(c, count)), core.angles.detach().cpu().double())
    entangled = meyer_wallach(states)
    return {
        "entanglement": float(entangled.mean()),
        "entanglement_sd": float(entangled.std()) if len(entangled) > 1 else None,
        "expressibility": expressibility(states),
        "expressibility_ansatz": ansatz_expressibility(circuit, max(2, min(TOKENS, AMPLITUDES >> circuit.qubits))),
        **variance_at_start(circuit, layer_map.start, core.function.uploads, layer_map.weighs == "gated"),
    }


def inspect(adapter: Path, options: Mapping[str, Any] | None = None) -> Inspection:
    """Measure a saved adapter."""
    config, model_config, data_config = check_inspection(adapter, options)
    judging = EvaluationConfig(split=config.split)
    subject = load_subject(adapter, options or {}, model_config, data_config, judging)
    if config.dequantise and subject.is_changed:
        raise changes_the_base(adapter, "its gain over the base model cannot be told; leave dequantise out")
    rows, pad_token_id = subject.rows[: config.rows], subject.loaded.tokenizer.pad_token_id
    collate = Collator(pad_token_id)
    batches = [collate(rows[start : start + BATCH]) for start in range(0, len(rows), BATCH)]
    inspection = replace(inspect_adapter(subject.model, batches, tokens=config.tokens), adapter=str(adapter))
    if config.dequantise:
        inspection = replace(inspection, dequantised=dequantise(subject.model, rows, pad_token_id))
    if config.output is not None:
        write_record(config.output, inspection.to_json())
    return inspection
