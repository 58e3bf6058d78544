"""Metrics of generated answers, one module each; `evaluation.metrics` takes the module's name.

Each module defines an `AnswerMetric` as METRIC. This one imports none of them, since the config needs only their names.
"""

import pkgutil

FIRST = ("text", "reasoning", "verifier")
"""Metrics that come first in lists and tables; others follow by name."""


def names() -> tuple[str, ...]:
    """Return the names of all metrics, in the order of lists and tables."""
    there = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return (*(name for name in FIRST if name in there), *(name for name in there if name not in FIRST))
