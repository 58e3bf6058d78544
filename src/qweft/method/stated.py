"""Specifications as records hold them: with the sizes that their presets bring along."""

from collections.abc import Iterator, Mapping
from itertools import chain, combinations
from typing import Any

from qweft.method.names import COMPRESS, EXPAND
from qweft.method.presets import PRESETS

SIZES = {"mpo": ("width", "bond_dimension"), "subspace": ("width",)}
"""The sizes of the first version's maps, except for r. Told here so that records can be read without PyTorch."""


ENDS = {"compress": COMPRESS, "expand": EXPAND}


def stated(specification: Mapping[str, Any]) -> dict[str, Any]:
    """Return a specification with the sizes stated that its preset had otherwise in an earlier version.

        {preset: qtha, r: 2}    {preset: qtha, r: 2, width: 16, bond_dimension: 4}

    All other specifications stay as they are, so that earlier records of them are found again.
    """
    return {**specification, **{name: now for name, (now, _) in _left_out(specification).items()}}


def as_recorded(specification: Mapping[str, Any]) -> dict[str, Any]:
    """Return the specification of a record with the sizes that it leaves out, as an earlier version meant them."""
    return {**specification, **{name: before for name, (_, before) in _left_out(specification).items()}}


def recorded_forms(specification: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the forms in which a record may hold a specification: as it is, then as earlier versions wrote it.

    They left out what was a default there, and what is left out counts in a fingerprint.
    """
    sizes = _sizes(specification)
    equal = [name for name, (_, before) in sizes.items() if specification.get(name) == before]
    for left_out in chain.from_iterable(combinations(equal, count) for count in range(len(equal) + 1)):
        yield {key: value for key, value in specification.items() if key not in left_out}


def meant_then(specification: Mapping[str, Any]) -> str:
    """Return what the preset of an earlier record meant beyond what it states; empty for other records."""
    sizes = ", ".join(f"{name} {before}" for name, (_, before) in _left_out(specification).items())
    return f"preset {specification['preset']} meant {sizes} when it was begun" if sizes else ""


def needs_rows_first(specification: Mapping[str, Any]) -> bool:
    """Return whether an adapter takes something from rows before its first step: fixed directions, or a start."""
    if specification.get("init_lora_weights") == "lora_ga":
        return True
    preset = PRESETS.get(str(specification.get("preset")))
    whole = {**(preset.fields if preset else {}), **specification}
    return any(names.get(str(whole.get(end)), "whole") != "whole" for end, names in ENDS.items())


def _left_out(specification: Mapping[str, Any]) -> dict[str, tuple[Any, int]]:
    """Return `_sizes` without those that the specification states."""
    return {name: sizes for name, sizes in _sizes(specification).items() if name not in specification}


def _sizes(specification: Mapping[str, Any]) -> dict[str, tuple[Any, int]]:
    """Return the sizes of a preset that have changed and that its maps have: now, and before."""
    preset = PRESETS.get(str(specification.get("preset")))
    if preset is None:
        return {}
    whole = {**preset.fields, **specification}
    had = {"r", *(size for end in ("compress", "expand") for size in SIZES.get(str(whole.get(end)), ()))}
    if needs_rows_first(specification):
        had.add("basis_bits")
    return {name: (preset.fields[name], before) for name, before in preset.before.items() if name in had}
