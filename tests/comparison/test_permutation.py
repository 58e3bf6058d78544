"""The sign-flip test against another library and by hand."""

import numpy as np
import pytest
from scipy import stats

from qweft.comparison.statistics import sign_flip_p, smallest_p


@pytest.mark.parametrize("count", range(2, 13))
@pytest.mark.parametrize("shift", [0.0, 0.5, 3.0])
def test_equals_scipy(count, shift):
    differences = np.random.default_rng(count).normal(shift, 1, count)
    exact = stats.permutation_test((differences,), np.mean, permutation_type="samples", n_resamples=np.inf)
    assert sign_flip_p(tuple(differences)) == pytest.approx(exact.pvalue, abs=1e-12)


def test_by_hand():
    """Of the sums of +-1 +-2 +-4, only 7 and -7 reach 7, and 5, 7 and their negatives reach 5: 2 and 4 of 8."""
    assert sign_flip_p((1.0, 2.0, 4.0)) == 0.25
    assert sign_flip_p((-1.0, 2.0, 4.0)) == 0.5


def test_sums_equal_on_paper_count_as_equal():
    """0.1 + 0.2 - 0.3 is not 0 in binary: of all signs of equal numbers, every sum of one size counts."""
    assert sign_flip_p((0.1, 0.2, -0.3)) == 1.0
    assert sign_flip_p((0.1, 0.1, 0.1, -0.1)) == pytest.approx(10 / 16)


def test_the_smallest_p_is_that_of_equal_signs():
    for count in range(1, 10):
        assert sign_flip_p((-2.0,) * count) == smallest_p(count) == 2 / 2**count
    assert smallest_p(5) > 0.05 > smallest_p(6)


def test_sixteen_seeds_are_exact_and_too_many_have_no_p():
    assert sign_flip_p(tuple(range(1, 17))) == 2 / 2**16
    assert sign_flip_p((1.0,) * 20) == 2 / 2**20
    assert sign_flip_p((1.0,) * 21) is None and sign_flip_p(()) is None
