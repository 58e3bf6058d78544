"""`qweft circuit`: shows, compiles and exports the circuit of one layer of a trained adapter."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from qweft.circuit.formats import FORMATS
from qweft.circuit.picture import circuit_picture
from qweft.circuit_view.checks import check_view
from qweft.circuit_view.config import CircuitConfig
from qweft.circuit_view.describe import CircuitView
from qweft.circuit_view.layers import first_layer, one_layer
from qweft.circuit_view.saved import SavedAdapter, SavedCircuit
from qweft.circuit_view.tokens import TokenValues, token_values
from qweft.devices.chips import compiled_for, find_chip
from qweft.errors import QweftError
from qweft.evaluation.record import model_of
from qweft.files import write_bytes
from qweft.text import many


def view_circuit(adapter: Path, options: Mapping[str, Any] | None = None) -> CircuitView:
    """Returns the circuit of one layer, and writes the requested files."""
    config, overrides = check_view(adapter, options)
    opened = SavedAdapter.open(adapter)
    layer = one_layer(config.layer, opened.keys) if config.layer else first_layer(opened.keys)
    saved = opened.circuit_of(layer)
    chip = None if config.chip is None else find_chip(config.chip, saved.circuit.qubits)
    tokens: Sequence[TokenValues] = ()
    if config.tokens is not None:
        tokens = token_values(adapter, model_of(adapter, overrides), saved.layer, config.tokens)
    bound = None if config.token is None else _chosen(tokens, config.token)
    inputs = None if bound is None else bound.c
    compilation = None if chip is None else compiled_for(chip, saved.circuit, inputs, saved.angles)[1]
    files = _write(config, saved, bound, _origin(adapter, saved, bound))
    shown = tuple(tokens) if bound is None else (bound,)
    others = () if config.layer else tuple(name for name in opened.keys if name != layer)
    return CircuitView(str(adapter), saved, config.tokens, shown, bound, compilation, files, others)


def _chosen(tokens: Sequence[TokenValues], token: int) -> TokenValues:
    if not 0 <= token < len(tokens):
        raise QweftError(
            f"--token {token}: the text has {many(len(tokens), 'token')}; the first is 0, the last {len(tokens) - 1}"
        )
    return tokens[token]


def _origin(adapter: Path, saved: SavedCircuit, bound: TokenValues | None) -> str:
    """Returns the origin of the circuit for the header of an export, with only the last two parts of the path."""
    path = Path(os.path.abspath(adapter))
    folder = "/".join(path.relative_to(path.anchor).parts[-2:])
    inputs = "its inputs open" if bound is None else f"its inputs those of token {bound.place} ({bound.text!r})"
    return f"From adapter {folder}, layer {saved.layer}, {inputs}."


def _write(config: CircuitConfig, saved: SavedCircuit, bound: TokenValues | None, origin: str) -> tuple[str, ...]:
    """Writes the files atomically; returns their names."""
    written = []
    if config.picture is not None:
        write_bytes(config.picture, circuit_picture(saved.circuit, Path(config.picture).suffix.lower()[1:]))
        written.append(config.picture)
    if config.export is not None and config.output is not None:
        inputs = None if bound is None else bound.c
        text = FORMATS[config.export].write(saved.circuit, inputs, saved.angles, about=origin)
        write_bytes(config.output, text.encode())
        written.append(config.output)
    return tuple(written)
