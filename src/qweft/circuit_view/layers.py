"""The layers of a saved adapter that have a circuit, read without PyTorch, and the choice of one by its name."""

import re
from collections.abc import Collection
from pathlib import Path

from qweft.errors import QweftError
from qweft.method.fields import QwthnFields
from qweft.method.names import formula, has_circuit
from qweft.method.peft_methods import OWN
from qweft.method.saved import check_folder, file_key, keys_in, read_saved
from qweft.text import met_by, some

ANGLES = ".qwthn_core.angles"
"""Suffix of the key of a circuit's angles in an adapter's file, after the layer's name."""


def angle_keys(folder: Path) -> dict[str, str]:
    """Returns the key of the angles in an adapter's file by layer name, in natural order of the names."""
    check_folder(folder)
    saved = read_saved(folder)
    method = str(saved.get("peft_type"))
    if method != OWN:
        raise QweftError(
            f"{folder}: an adapter of PEFT's method {method} has no circuit; qweft circuit takes a QWTHN adapter "
            "with one, as of the presets qtha and qwthn"
        )
    core = str(saved.get("core", QwthnFields.core))
    if not has_circuit(core):
        raise QweftError(f"{folder}: core {core} ({formula(core)}) has no circuit; presets with one are qtha and qwthn")
    found = {file_key(key): key for key in keys_in(folder) if key.endswith(ANGLES)}
    keys = {name.removesuffix(ANGLES): key for name, key in found.items()}
    if not keys:
        raise QweftError(f"{folder}: its file holds no angles of a circuit; copy the adapter again")
    return {layer: keys[layer] for layer in sorted(keys, key=_natural)}


def _natural(name: str) -> list[str]:
    """Returns a sort key that puts layers.2 before layers.10."""
    return [part.zfill(20) if place % 2 else part for place, part in enumerate(re.split(r"([0-9]+)", name))]


def first_layer(layers: Collection[str]) -> str:
    """Returns the first layer, with the numbers in the names in their own order."""
    return min(layers, key=_natural)


def one_layer(pattern: str, layers: Collection[str]) -> str:
    """Returns the one layer that matches a pattern."""
    if pattern in layers:
        return pattern
    met = met_by(pattern, layers)
    if len(met) == 1:
        return met[0]
    if met:
        raise QweftError(f"--layer: {pattern} meets more than one layer: {some(met)}; name one of them")
    raise QweftError(f"--layer: {pattern} meets no layer with a circuit; the layers with one are {some(layers)}")
