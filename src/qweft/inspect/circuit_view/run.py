"""`qweft circuit`: shows, compiles and exports the circuit of one layer of a trained adapter."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from peft.utils.other import get_pattern_key
from safetensors import safe_open

from qweft.adapter import QwthnConfig
from qweft.adapter.functions import FUNCTIONS, make_function
from qweft.adapter.loading import find_weights, read_config
from qweft.circuit import Circuit, expectation_values
from qweft.circuit.description import counts
from qweft.circuit.draw.picture import circuit_picture
from qweft.circuit.formats import FORMATS
from qweft.core.errors import QweftError
from qweft.core.files import write_bytes
from qweft.core.text import many
from qweft.data.tokens import text_tokens
from qweft.devices.chips import Compilation, compile_for_chip, find_chip
from qweft.evaluation.loss import context_of, judged
from qweft.evaluation.on_device import circuit_layers
from qweft.evaluation.record import model_of
from qweft.evaluation.saved import put_on
from qweft.inspect.circuit_view.config import CircuitConfig, check_view, one_layer
from qweft.method.names import function_of
from qweft.models.config import ModelConfig
from qweft.models.load import load_model


@dataclass(frozen=True)
class CircuitView:
    """The circuit of one layer with its angles, values, compilation and files; the control `frozen` trains no angle."""

    adapter: str
    layer: str
    core: str
    circuit: Circuit
    layers: int
    angles: list[float]
    angles_trained: bool
    text: str | None = None
    tokens: Sequence[dict[str, Any]] = ()  # of each its place, id, text, inputs c and values q
    bound_token: int | None = None  # then the only one of the tokens
    compiled: Compilation | None = None
    files: tuple[str, ...] = ()
    others: tuple[str, ...] = ()  # further layers, where none was named

    @property
    def inputs(self) -> list[float] | None:
        """The inputs for the chip and the export, `None` if they stay open."""
        return None if self.bound_token is None else self.tokens[0]["c"]

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON-compatible values, with numbers in full precision."""
        found = asdict(self)
        found["circuit"]["layers"] = found.pop("layers")
        return found | {"dead_angles": self.circuit.dead_parameters(), "written": asdict(counts(self.circuit))}


def view_circuit(adapter: Path, options: Mapping[str, Any] | None = None) -> CircuitView:
    """Return the circuit of one layer, and write the requested files."""
    config, overrides, keys = check_view(adapter, options)
    layer = one_layer(config.layer, keys)
    view = _saved_circuit(adapter, layer, keys[layer])
    if not config.layer:
        view = replace(view, others=tuple(name for name in keys if name != layer))
    if config.tokens is not None:
        tokens = _token_values(adapter, model_of(adapter, overrides), layer, config.tokens)
        if config.token is not None:
            if not 0 <= config.token < len(tokens):
                has = f"the text has {many(len(tokens), 'token')}"
                raise QweftError(f"--token {config.token}: {has}; the first is 0, the last {len(tokens) - 1}")
            tokens = [tokens[config.token]]
        view = replace(view, text=config.tokens, tokens=tokens, bound_token=config.token)
    if config.chip is not None:
        compiled = compile_for_chip(find_chip(config.chip), view.circuit, view.inputs, view.angles)[1]
        view = replace(view, compiled=compiled)
    return replace(view, files=_write(config, view))


def _saved_circuit(folder: Path, layer: str, key: str) -> CircuitView:
    """Read the circuit of a layer with its angles from an adapter's folder, without a base model."""
    config = read_config(folder)
    assert isinstance(config, QwthnConfig)  # angle_keys checks the method
    ranks = config.rank_pattern
    at = config.resolved(ranks.get(get_pattern_key(list(ranks), layer), config.r))
    name = function_of(at.core) or ""
    circuit = make_function(name, at).circuit
    assert circuit is not None  # has_circuit
    with safe_open(find_weights(folder), framework="pt") as file:
        angles = file.get_tensor(key)
    if angles.shape != (circuit.parameters,):
        raise QweftError(
            f"{folder}: the angles of {layer} are {tuple(angles.shape)}, and the circuit of its adapter_config.json "
            f"has {circuit.parameters}; put the adapter's own config beside its file"
        )
    trained = "angles" not in FUNCTIONS[name].fixed_tensors
    return CircuitView(str(folder), layer, config.core, circuit, at.circuit_layers, angles.double().tolist(), trained)


def _token_values(adapter: Path, model: ModelConfig, layer: str, text: str) -> list[dict[str, Any]]:
    """Return the values of one circuit for each token of a text, run with the adapter, without a chat template."""
    loaded = load_model(model)
    ids, most = text_tokens(text, loaded.tokenizer), context_of(loaded.model)
    if not ids:
        raise QweftError("--tokens: the text has no token; give a few words")
    if most is not None and len(ids) > most:
        has = f"the text has {many(len(ids), 'token')}"
        raise QweftError(f"--tokens: {has}, and the model takes {most:,}; give a shorter one")
    adapted = put_on(loaded, adapter)
    seen: list[tuple[list[float], list[float]]] = []  # inputs and values

    def note(circuit: Circuit, c: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
        rows = c.detach().reshape(-1, circuit.inputs).cpu().double()
        q = expectation_values(circuit, rows, angles.detach().cpu().double())
        seen.extend(zip(rows.tolist(), q.tolist(), strict=True))
        return q.to(c).reshape(*c.shape[:-1], circuit.qubits)

    circuit_layers(adapted)[layer].measured_by = note
    with judged(adapted):
        adapted(input_ids=torch.tensor([ids], device=loaded.device))
    if len(seen) != len(ids):
        raise QweftError(
            f"--tokens: layer {layer} was given {many(len(seen), 'row')} for the {many(len(ids), 'token')} of the "
            "text; choose a layer that every token passes once"
        )
    return [
        {"place": place, "id": token, "text": loaded.tokenizer.decode([token]), "c": c, "q": q}
        for place, (token, (c, q)) in enumerate(zip(ids, seen, strict=True))
    ]


def _write(config: CircuitConfig, view: CircuitView) -> tuple[str, ...]:
    """Write the files atomically; return their names."""
    contents: dict[str, bytes] = {}
    if config.picture is not None:
        contents[config.picture] = circuit_picture(view.circuit, Path(config.picture).suffix.lower()[1:])
    if config.export is not None and config.output is not None:
        contents[config.output] = FORMATS[config.export].write(view.circuit, view.inputs, view.angles).encode()
    for name, content in contents.items():
        write_bytes(name, content)
    return tuple(contents)
