"""`qweft circuit`: shows, compiles and exports the circuit of one layer of a trained adapter."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from qweft.circuit.formats import FORMATS
from qweft.circuit.picture import KINDS, circuit_picture
from qweft.circuit_view.config import CircuitConfig
from qweft.circuit_view.describe import CircuitView
from qweft.circuit_view.saved import SavedAdapter, SavedCircuit, first_layer, one_layer
from qweft.circuit_view.tokens import TokenValues, token_values
from qweft.devices.chips import compiled_for, find_chip
from qweft.errors import QweftError
from qweft.evaluation.saved import model_of
from qweft.files import check_can_be_written, write_bytes
from qweft.text import many


def view_circuit(adapter: Path, options: Mapping[str, Any] | None = None) -> CircuitView:
    """Returns the circuit of one layer, and writes the requested files.

    Args:
        adapter: A folder with adapter_config.json and adapter_model.safetensors.
        options: Fields of `CircuitConfig`. Its section `model` holds only keys that differ from the training run.

    Raises:
        QweftError: If the adapter has no circuit, an option is invalid, or a package or the base model is unavailable.
            Options are checked before a model is loaded, except the range of `token`.
    """
    given = dict(options or {})
    overrides = {"model": given.pop("model")} if "model" in given else {}
    config = CircuitConfig(**given)
    _check(config)
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


def _check(config: CircuitConfig) -> None:
    """Checks combinations of options and file names before anything is opened."""
    if config.token is not None and config.tokens is None:
        raise QweftError(f"--token {config.token}: there is no text to take it from; give one with --tokens")
    if config.export is not None and config.output is None:
        ending = FORMATS[config.export].ending
        raise QweftError(f"--export {config.export} needs a file to write to; give --output FILE.{ending}")
    if config.output is not None and config.export is None:
        raise QweftError(f"--output {config.output}: nothing is exported; choose --export {', '.join(FORMATS)}")
    if config.export is not None and config.token is None and not FORMATS[config.export].can_stay_open:
        open_ones = " or ".join(name for name, form in FORMATS.items() if form.can_stay_open)
        raise QweftError(
            f"--export {config.export} has no parameters, so it needs the numbers of a token; give "
            f"--tokens TEXT --token INDEX, or --export {open_ones}"
        )
    if config.picture is not None and Path(config.picture).suffix.lower() not in {f".{kind}" for kind in KINDS}:
        raise QweftError(f"--picture {config.picture}: its name must end in .svg, .png or .pdf")
    if config.picture and config.output and Path(config.picture).resolve() == Path(config.output).resolve():
        raise QweftError(f"--picture {config.picture} and --output {config.output} are the same file; give two names")
    for name in ("picture", "output"):
        file = getattr(config, name)
        if file is not None:
            if Path(file).is_dir():
                raise QweftError(f"--{name} {file} is a folder; give the name of a file")
            check_can_be_written(Path(file).parent)


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
