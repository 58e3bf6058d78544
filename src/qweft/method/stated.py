"""Specifications as records hold them: with the sizes that their presets bring along."""

from collections.abc import Mapping
from typing import Any

from qweft.method.names import COMPRESS, EXPAND
from qweft.method.presets import PRESETS

SIZES = {"mpo": ("width", "bond_dimension"), "subspace": ("width",)}
"""The sizes of maps, except for r. Told here so that records can be read without PyTorch."""
ENDS = {"compress": COMPRESS, "expand": EXPAND}


def stated(specification: Mapping[str, Any]) -> dict[str, Any]:
    """Return a specification with the sizes of its preset stated.

    {preset: qtha, r: 2}    {preset: qtha, r: 2, width: 16, bond_dimension: 4}
    """
    preset = PRESETS.get(str(specification.get("preset")))
    if preset is None:
        return dict(specification)
    whole = {**preset.fields, **specification}
    had = {"r", *(size for end in ENDS for size in SIZES.get(str(whole.get(end)), ()))}
    if needs_rows_first(specification):
        had.add("basis_bits")
    missing = [name for name in preset.stated if name in had and name not in specification]
    return {**specification, **{name: preset.fields[name] for name in missing}}


def needs_rows_first(specification: Mapping[str, Any]) -> bool:
    """Return whether an adapter takes something from rows before its first step: fixed directions, or a start."""
    if specification.get("init_lora_weights") == "lora_ga":
        return True
    preset = PRESETS.get(str(specification.get("preset")))
    whole = {**(preset.fields if preset else {}), **specification}
    return any(names.get(str(whole.get(end)), "whole") != "whole" for end, names in ENDS.items())
