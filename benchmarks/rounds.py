"""Timing in rounds: every subject once a round, so that a slow minute of the machine meets all of them.

The order turns round after each round, so that two subjects run as A B B A and a slow drift favours neither.
"""

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any


def alternate(subjects: Mapping[str, Callable[[], Any]], rounds: int, warm: int = 1) -> dict[str, list[float]]:
    """Wall seconds of each subject in each round, the first `warm` rounds left out."""
    seconds: dict[str, list[float]] = {name: [] for name in subjects}
    for number in range(warm + rounds):
        for name, subject in list(subjects.items())[:: 1 if number % 2 else -1]:
            gc.collect()
            start = time.perf_counter()
            subject()
            if number >= warm:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def medians(seconds: Mapping[str, list[float]]) -> dict[str, float]:
    """Median of each subject."""
    return {name: statistics.median(found) for name, found in seconds.items()}


def spread(found: list[float]) -> float:
    """Half of the distance between the quartiles, relative to the median: how far to trust a ratio."""
    if len(found) < 3:
        return float("nan")
    low, middle, high = statistics.quantiles(found, n=4)
    return (high - low) / 2 / middle
