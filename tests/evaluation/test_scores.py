"""Standard errors by hand, and against what is drawn many times."""

import math

import numpy as np
import pytest

from qweft.evaluation.scores import (
    RowScore,
    compare_losses,
    compare_perplexities,
    compare_statistics,
    loss_of,
    mean,
)


def test_a_mean_by_hand():
    found = mean([1.0, 2.0, 3.0, 6.0])  # deviations -2, -1, 0, 3: 14 / 3 / 4
    assert (found.value, found.rows) == (3.0, 4)
    assert found.standard_error == pytest.approx(math.sqrt(14 / 12))
    assert mean([2.0]).standard_error is None


def test_the_bootstrap_of_a_mean_is_the_means_error():
    rows = np.random.default_rng(3).normal(size=(200, 1))
    both, moved = (np.hstack([values, np.ones_like(rows)]) for values in (rows, rows + 1))
    found = compare_statistics("x", both, moved, lambda sums: sums[0] / sums[1])
    assert found.base.value == pytest.approx(rows.mean())
    assert found.base.standard_error == pytest.approx(mean(rows[:, 0].tolist()).standard_error, rel=0.08)
    assert found.difference.value == pytest.approx(1) and found.difference.standard_error == pytest.approx(0, abs=1e-12)
    assert found == compare_statistics("x", both, moved, lambda sums: sums[0] / sums[1])
    assert compare_statistics("x", both[:1], both[:1], lambda sums: sums[0]).base.standard_error is None


def scored(*rows):
    return loss_of([RowScore(total, (0,) * tokens) for total, tokens in rows])


def test_a_loss_that_rises_by_one_nat_a_token_has_no_error():
    base, adapted = scored((2.0, 2), (9.0, 3), (0.0, 0)), scored((4.0, 2), (12.0, 3), (0.0, 0))
    found = compare_losses(base, adapted)
    assert (found.difference.value, found.difference.standard_error, found.difference.rows) == (1.0, 0.0, 2)
    assert found.base.standard_error == base.standard_error


def test_perplexities_against_the_bootstrap():
    rng = np.random.default_rng(0)
    tokens = rng.integers(3, 30, size=400)
    base = [(float(rng.normal(2.0, 0.3) * n), int(n)) for n in tokens]
    adapted = [(total * 0.9 + float(rng.normal(0, 0.1)) * n, n) for total, n in base]
    found = compare_perplexities(scored(*base), scored(*adapted))
    drawn = compare_statistics("x", np.array(base), np.array(adapted), lambda sums: math.exp(sums[0] / sums[1]))
    for name in ("base", "adapted", "difference"):
        mine, theirs = getattr(found, name), getattr(drawn, name)
        assert mine.value == pytest.approx(theirs.value)
        assert mine.standard_error == pytest.approx(theirs.standard_error, rel=0.1)
