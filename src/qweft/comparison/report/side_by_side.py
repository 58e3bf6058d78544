"""What differs between two comparisons, before their results are held against each other."""

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from qweft.comparison.report.content import Content
from qweft.comparison.report.text import environment

INCIDENTAL = ("date", "output")
"""What differs between any two comparisons and says nothing."""


class Differing(NamedTuple):
    """One thing that two comparisons do not share; a dash stands for what one of them does not have."""

    name: str
    left: str
    right: str


def differing(left: Content, right: Content) -> list[Differing]:
    """What differs in what was asked for and in what it was computed with, in that order.

    Where both have their configuration it is held against each other key by key, otherwise what the runs tell of it.

    Args:
        left: The first comparison.
        right: The second one.
    """
    both = bool(left.config and right.config)
    shared = _methods(left) & _methods(right)
    first, second = _facts(left, both, shared), _facts(right, both, shared)
    return [
        Differing(name, first.get(name, "–"), second.get(name, "–"))
        for name in dict.fromkeys([*first, *second])
        if first.get(name) != second.get(name) and name not in INCIDENTAL
    ]


def _methods(content: Content) -> set[str]:
    """The methods that ran or were asked for."""
    asked = content.config.get("methods")
    return {*content.methods, *(asked if isinstance(asked, Mapping) else ())}


def _facts(content: Content, with_config: bool, shared: Collection[str]) -> dict[str, str]:
    """All that may differ, by its dotted name; of a method that only one has, no more than that it was compared."""
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
    # What was run comes after what was asked for: a comparison may have been stopped early
    return {**_flat(more), **_flat(asked), **_flat(environment(content))}


def _flat(value: Any, name: str = "") -> dict[str, str]:
    """A tree as dotted names with their values as text."""
    if isinstance(value, Mapping) and value:
        found: dict[str, str] = {}
        for key, inner in value.items():
            found |= _flat(inner, f"{name}.{key}" if name else str(key))
        return found
    if isinstance(value, list | tuple):
        return {name: ", ".join(map(str, value))}
    return {} if value is None else {name: str(value)}
