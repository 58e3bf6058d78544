"""Differences between the configurations and environments of two comparisons."""

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from qweft.comparison.report.content import Content
from qweft.comparison.report.text import environment

INCIDENTAL = ("date", "output")
"""Keys that differ between any two comparisons and mean nothing."""


class Differing(NamedTuple):
    """One difference between two comparisons; a dash stands for a missing value."""

    name: str
    left: str
    right: str


def differing(left: Content, right: Content) -> list[Differing]:
    """Return the differences in configuration, then in the runs and the environment."""
    both = bool(left.config and right.config)
    shared = _methods(left) & _methods(right)
    first, second = _facts(left, both, shared), _facts(right, both, shared)
    return [
        Differing(name, first.get(name, "–"), second.get(name, "–"))
        for name in dict.fromkeys([*first, *second])
        if first.get(name) != second.get(name) and name not in INCIDENTAL
    ]


def _methods(content: Content) -> set[str]:
    """Return the methods that ran or are configured."""
    asked = content.config.get("methods")
    return {*content.methods, *(asked if isinstance(asked, Mapping) else ())}


def _facts(content: Content, with_config: bool, shared: Collection[str]) -> dict[str, str]:
    """Return everything that may differ, by dotted name; a method that only one has is listed without details."""
    asked = {
        "base model": content.runs[0].model,
        "text": content.runs[0].data,
        "reference": content.reference,
        "seeds": content.seeds,
        "steps": content.steps,
    }
    told = {
        run.method: {"adapter": run.adapter or {}, "learning_rate": run.learning_rate}
        for run in content.runs
        if run.method in content.methods
    }
    more: dict[str, Any] = content.config if with_config else {"methods": told}
    methods = more.get("methods")
    if isinstance(methods, Mapping):
        kept = {name: fields if name in shared else "compared" for name, fields in methods.items()}
        more = {**more, "methods": kept}
    # What ran comes after what was configured: a comparison may have stopped early
    return {**_flat(more), **_flat(asked), **_flat(environment(content))}


def _flat(value: Any, name: str = "") -> dict[str, str]:
    """Return a tree as dotted names with their values as text."""
    if isinstance(value, Mapping) and value:
        found: dict[str, str] = {}
        for key, inner in value.items():
            found |= _flat(inner, f"{name}.{key}" if name else str(key))
        return found
    if isinstance(value, list | tuple):
        return {name: ", ".join(map(str, value))}
    return {} if value is None else {name: str(value)}
