"""Options of `qweft circuit`, and their checks, which import no PyTorch."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from qweft.circuit.draw.picture import KINDS
from qweft.circuit.formats import FORMATS
from qweft.core.errors import QweftError
from qweft.core.files import check_file
from qweft.core.text import join_few, many, matching_names
from qweft.evaluation.record import model_of
from qweft.method.fields import QwthnFields
from qweft.method.names import formula, has_circuit
from qweft.method.peft_methods import OWN
from qweft.method.saved import WEIGHTS, check_folder, file_key, read_saved, shapes_in
from qweft.models.checks import check_model
from qweft.models.config import ModelConfig

if TYPE_CHECKING:
    Language = str
else:
    Language = Literal[tuple(FORMATS)]
"""Name of a text format in `qweft.circuit.formats`."""
ANGLES = ".qwthn_core.angles"
"""Suffix of the key of a circuit's angles in an adapter's file, after the layer's name."""


@dataclass(frozen=True)
class CircuitConfig:
    """The circuit of one layer of a trained adapter.

    Args:
        layer: The layer: its name, an end of its name (layers.3.self_attn.q_proj), or either with *. It must match
            exactly one layer. Without it the first layer with a circuit is shown.
        tokens: Text to run through the base model with the adapter. The circuit's inputs c and expectation values q
            are shown for each token. Without it no base model is loaded.
        token: Show only this token of the text, counted from 0; its c are used for --chip and --export.
        chip: Compile the circuit for this chip (all-to-all, line, lattice, ion-trap, or qiskit:fake_NAME), and count
            the compiled gates too.
        picture: File for the drawing, ending in .svg, .png or .pdf.
        export: Write the circuit in this language to --output, with the trained angles as numbers. Without --token,
            qasm3 keeps the inputs as parameters; the other languages need --token.
        output: File of the export.
        model: The base model, where it differs from the training run.
    """

    layer: str = ""
    tokens: str | None = None
    token: int | None = None
    chip: str | None = None
    picture: str | None = None
    export: Language | None = None
    output: str | None = None
    model: ModelConfig = field(default_factory=ModelConfig)


def check_view(
    adapter: Path, options: Mapping[str, Any] | None
) -> tuple[CircuitConfig, dict[str, Any], dict[str, str]]:
    """Return options, overrides of the base model, and keys of angles by layer, checked before a model is opened."""
    given = dict(options or {})
    overrides = {"model": given.pop("model")} if "model" in given else {}
    config = CircuitConfig(**given)
    if config.token is not None and config.tokens is None:
        raise QweftError(f"--token {config.token}: there is no text to take it from; give one with --tokens")
    if (config.export is None) != (config.output is None):
        raise QweftError(f"--export LANGUAGE and --output FILE go together; languages are {', '.join(FORMATS)}")
    if config.export is not None and config.output is not None:
        check_file(Path(config.output), "--output", FORMATS[config.export].ending)
    if config.picture is not None:
        if Path(config.picture).suffix.lower()[1:] not in KINDS:
            raise QweftError(f"--picture {config.picture}: its name must end in .svg, .png or .pdf")
        check_file(Path(config.picture), "--picture")
    keys = angle_keys(adapter)
    one_layer(config.layer, keys)
    if config.chip is not None:
        from qweft.devices.chips import find_chip  # here, to keep the help fast

        find_chip(config.chip)
    if config.tokens is not None:
        check_model(model_of(adapter, overrides))
    return config, overrides, keys


def angle_keys(folder: Path) -> dict[str, str]:
    """Return the key of the angles in an adapter's file by layer name, layers.2 before layers.10."""
    check_folder(folder)
    saved = read_saved(folder)
    method, core = saved.get("peft_type"), str(saved.get("core", QwthnFields.core))
    if method != OWN or not has_circuit(core):
        what = f"core {core} ({formula(core)})" if method == OWN else f"PEFT's method {method}"
        raise QweftError(f"{folder}: {what} has no circuit; presets with one are qtha and qwthn")
    keys = {file_key(key).removesuffix(ANGLES): key for key in shapes_in(folder / WEIGHTS) if key.endswith(ANGLES)}
    return dict(sorted(keys.items(), key=lambda item: [part.zfill(20) for part in re.split(r"([0-9]+)", item[0])]))


def one_layer(pattern: str, layers: Collection[str]) -> str:
    """Return the one layer that matches a pattern, or the first without one."""
    met = list(layers)[:1] if not pattern else [pattern] if pattern in layers else matching_names(pattern, layers)
    if len(met) == 1:
        return met[0]
    raise QweftError(
        f"--layer: {pattern} meets {many(len(met), 'layer')} with a circuit; name one of {join_few(met or layers)}"
    )
