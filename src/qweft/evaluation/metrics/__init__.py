"""Metrics of generated answers, a module for each: its name is what `evaluation.metrics` takes.

A module holds an `AnswerMetric` as METRIC. This one imports none of them, since the config asks for their names.
"""

import pkgutil

FIRST = ("text", "reasoning", "verifier")
"""In lists and tables these come first, further ones by name."""


def names() -> tuple[str, ...]:
    """The metrics that a user may name, in the order in which they are shown."""
    there = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return (*(name for name in FIRST if name in there), *(name for name in there if name not in FIRST))
