"""Corrections for several questions, and the levels of interim analyses."""

from collections.abc import Callable, Sequence
from itertools import pairwise

from qweft.comparison.judge.statistics import SIGNIFICANCE_LEVEL

Correction = Callable[[Sequence[float]], list[float]]
"""Corrected p of each question, from those of all questions."""


def bonferroni(p_values: Sequence[float]) -> list[float]:
    """Return Bonferroni's corrected p, min(1, count * p), of each question."""
    return [min(1.0, len(p_values) * p_value) for p_value in p_values]


def holm(p_values: Sequence[float]) -> list[float]:
    """Return Holm's corrected p (1979), max over j <= i of min(1, (count - j + 1) p_(j)), of each question."""
    count = len(p_values)
    ascending = sorted(range(count), key=lambda index: p_values[index])
    corrected = [0.0] * count
    largest = 0.0
    for rank, index in enumerate(ascending):
        largest = max(largest, min(1.0, (count - rank) * p_values[index]))
        corrected[index] = largest
    return corrected


def interim_levels(seed_counts: Sequence[int]) -> list[float]:
    """Return 0.05 (n_j - n_(j - 1)) / n_last, the level of each analysis at n_j seeds; they add up to 0.05."""
    steps = pairwise([0, *seed_counts])
    return [SIGNIFICANCE_LEVEL * (count - before) / seed_counts[-1] for before, count in steps]
