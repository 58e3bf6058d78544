"""The exact paired permutation test of a mean difference: how often would other signs give as much."""

from collections.abc import Sequence

import numpy as np

MOST = 20
"""Differences up to which all sign patterns are counted: 2^20 sums."""


def sign_flip_p(differences: Sequence[float]) -> float | None:
    """The two-sided p of the paired permutation (sign-flip) test.

    If the two methods are alike, a seed's difference is as likely as its negative. Of the 2^n sign patterns

        p = the share with |sum_k (+-)_k d_k| >= |sum_k d_k|

    counted one by one, so that nothing is assumed of the distribution but that symmetry.

    Args:
        differences: One a seed.

    Returns:
        p; none without a difference, or with more than 20.
    """
    if not 0 < len(differences) <= MOST:
        return None
    sums = np.array(differences[:1])  # the first sign may stay: |.| is the same with all signs turned
    for difference in differences[1:]:
        sums = np.concatenate([sums + difference, sums - difference])
    # Sums that are equal on paper differ in the last digits by the order of their terms.
    rounding = 1e-9 * float(np.abs(differences).sum())
    return float(np.mean(np.abs(sums) >= abs(sum(differences)) - rounding))


def smallest_p(seeds: int) -> float:
    """The smallest p that the test can give: 2 / 2^n, where all n signs are alike."""
    return float(2.0 ** (1 - seeds))
