"""Checks of `qweft circuit`, before PyTorch is imported."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qweft.circuit.formats import FORMATS
from qweft.circuit.picture import KINDS
from qweft.circuit_view.config import CircuitConfig
from qweft.circuit_view.layers import angle_keys, one_layer
from qweft.devices.chips import check_chip
from qweft.errors import QweftError
from qweft.evaluation.record import model_of
from qweft.files import check_file
from qweft.models.resolve import check_model


def check_view(adapter: Path, options: Mapping[str, Any] | None) -> tuple[CircuitConfig, dict[str, Any]]:
    """Checks the options, the adapter's files and the base model, if a text is to run through it."""
    given = dict(options or {})
    overrides = {"model": given.pop("model")} if "model" in given else {}
    config = CircuitConfig(**given)
    _check(config)
    layers = angle_keys(adapter)
    if config.layer:
        one_layer(config.layer, layers)
    if config.chip is not None:
        check_chip(config.chip)
    if config.tokens is not None:
        check_model(model_of(adapter, overrides))
    return config, overrides


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
    if config.picture and config.output and os.path.realpath(config.picture) == os.path.realpath(config.output):
        raise QweftError(f"--picture {config.picture} and --output {config.output} are the same file; give two names")
    if config.picture is not None:
        check_file(Path(config.picture), "--picture")
    if config.output is not None and config.export is not None:
        check_file(Path(config.output), "--output", FORMATS[config.export].ending)
