"""What of an adapter's specification its maps and its core read."""

from collections.abc import Mapping
from typing import Any

from qweft.method.fields import QwthnFields
from qweft.method.names import EXPAND, unread
from qweft.method.presets import stated
from qweft.method.resolved import resolve

RESOLVED = ("alpha", "qubits", "circuit_layers", "basis")
"""Fields whose `None` stands for a number or a name."""


def complete(specification: Mapping[str, Any]) -> dict[str, Any]:
    """Return a specification with its preset's fields and all defaults."""
    return {**vars(QwthnFields()), **stated(specification)}


def effective(specification: Mapping[str, Any]) -> dict[str, Any]:
    """Return what decides an adapter: equal ones are the same adapter; PEFT's own and wrong ones are unchanged."""
    if not _is_ours(specification):
        return dict(specification)
    whole = complete(specification)
    try:
        resolved = resolve(whole)
    except TypeError:  # a rank that is no number
        return dict(specification)
    if not whole["rank_pattern"]:  # with one, a None stands for another number in each of its layers
        whole.update({name: getattr(resolved, name) for name in RESOLVED})
    left_out = {"preset", "peft_type", *unread(whole)}
    return {name: value for name, value in whole.items() if name not in left_out}


def needs_rows_first(specification: Mapping[str, Any]) -> bool:
    """Return whether an adapter takes its directions from rows before its first step."""
    whole = stated(specification)
    return any(EXPAND.get(str(whole.get(side)), "whole") != "whole" for side in ("compress", "expand"))


def _is_ours(specification: Mapping[str, Any]) -> bool:
    return str(specification.get("peft_type", "QWTHN")).upper() == "QWTHN"
