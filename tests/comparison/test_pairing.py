"""The rule: when a difference is shown, and how often it is where there is none or one."""

import math

import numpy as np
import pytest
from benchmarks import coverage

from qweft.comparison.statistics import pair


def against_one(losses, **rows):
    return pair(dict(enumerate(losses)), dict.fromkeys(range(len(losses)), 1.0), **rows)


@pytest.mark.parametrize(
    ("losses", "direction", "reason"),
    [
        ([0.90, 0.91, 0.92], "lower", ""),
        ([1.10, 1.11, 1.12], "higher", ""),
        ([1.10, 1.20, 1.001], "not shown", "the interval holds zero"),
        ([0.9, 0.9, 1.1], "not shown", "the interval holds zero"),
        ([0.5, 0.5], "not shown", "at least 3 seeds are needed"),
        ([0.5], "not shown", "at least 3 seeds are needed"),
        ([1.0, 1.0, 1.0], "not shown", "the losses are equal"),
        ([0.1, 0.1, None, 0.1], "not shown", "1 of 4 pairs diverged"),
        ([None], "not shown", "1 of 1 pairs diverged"),
        ([], "not shown", "there is no seed that both have"),
    ],
)
def test_a_direction_is_shown_only_where_the_interval_of_three_seeds_excludes_zero(losses, direction, reason):
    found = against_one(losses)
    assert (found.direction, found.reason) == (direction, reason)


def test_from_six_seeds_on_the_test_must_agree():
    """One sign turned: 4 of 64 patterns reach the sum, too many, though the interval excludes zero."""
    percent = (2.0, 1.8, 0.4, -0.05, 0.5, 1.0)
    turned = against_one([1 + difference / 100 for difference in percent])
    assert turned.interval[0] > 0 and turned.p_value == 4 / 64
    assert (turned.direction, turned.reason) == ("not shown", "the sign-flip p is above 0.05")
    alike = against_one([1 + abs(difference) / 100 for difference in percent])
    assert alike.p_value == 2 / 64 and alike.direction == "higher"


@pytest.mark.parametrize("count", [1, 2])
def test_fewer_than_three_seeds_have_differences_and_p_but_no_interval(count):
    found = against_one([0.5] * count)
    assert found.differences == (-50.0,) * count and found.mean == -50
    assert found.interval is None and found.p_value == found.smallest_p == 2 / 2**count


def test_a_diverged_run_leaves_no_interval():
    found = against_one([0.5, 0.51, 0.52, None])
    assert found.interval is None and len(found.differences) == 3


def test_rows_widen_the_interval_and_their_number_is_recorded():
    losses, others = coverage.comparison(3, 20, "normal", "rows", np.random.default_rng(0))
    rows = [{k: tuple((float(s), 5) for s in sums) for k, sums in enumerate(m)} for m in (losses, others)]
    totals = [{k: float(sums.sum()) / 100 for k, sums in enumerate(m)} for m in (losses, others)]
    alone, both = pair(*totals), pair(*totals, *rows)
    assert (alone.rows, both.rows) == (0, 20)
    assert np.ptp(both.interval) > 2 * np.ptp(alone.interval)
    without = [{**m, 1: ()} for m in rows]
    assert pair(*totals, without[0], rows[1]) == alone  # a seed of an earlier version


def test_a_row_whose_loss_is_not_a_number_shows_nothing():
    """As a null in results.json is read; the losses of the whole are known and far apart."""
    rows = {k: ((math.nan if k == 1 else 3.0, 2), (5.0 + k, 3)) for k in range(3)}
    others = dict.fromkeys(range(3), ((3.5, 2), (5.5, 3)))
    found = against_one([0.90, 0.91, 0.92], rows=rows, other_rows=others)
    assert (found.direction, found.reason) == ("not shown", "the loss of a test row is not a number")
    assert found.interval is None and found.rows == 0


def test_rows_without_targets_are_not_of_the_sample():
    rows = {k: ((3.0 + k, 2), (0.0, 0), (5.0, 3)) for k in range(3)}
    others = dict.fromkeys(range(3), ((3.5, 2), (0.0, 0), (5.5, 3)))
    losses, other_losses = ({k: sum(s for s, _ in m[k]) / 5 for k in m} for m in (rows, others))
    found = pair(losses, other_losses, rows, others)
    dense = [{k: tuple(row for row in m[k] if row[1]) for k in m} for m in (rows, others)]
    assert found.rows == 2 and found == pair(losses, other_losses, *dense)


@pytest.mark.parametrize("seeds", [3, 5, 7])
def test_a_method_against_itself_at_other_draws_is_seldom_shown(seeds):
    said = coverage.directions(seeds, 48, "seeds", 0.0, 1000)
    assert 10 < sum(direction != "not shown" for direction in said) < 65  # 5%, with a standard error of 0.7


def test_a_planted_better_method_is_found():
    said = coverage.directions(5, 48, "seeds", -3.0, 100)
    assert said.count("lower") >= 95 and "higher" not in said
    assert coverage.directions(5, 48, "seeds", 3.0, 20).count("higher") >= 18


def test_three_controls_say_no_more_often_than_one_where_the_circuit_does_nothing():
    """What docs/statistics.md warns of; the standard errors are 0.8 and 1.3 percentage points."""
    (yes, single), (never, several) = (coverage.circuit_answers(3, 48, "seeds", n, 400) for n in (1, 3))
    assert yes < 0.06 and never <= 0.02
    assert 0.005 < single < 0.06 and 0.03 < several < 0.12


def test_a_circuit_that_helps_and_one_that_harms_are_found_against_three_controls():
    yes, no = coverage.circuit_answers(5, 48, "seeds", 3, 40, percent=-3.0)
    assert yes >= 0.9 and no == 0
    yes, no = coverage.circuit_answers(5, 48, "seeds", 3, 40, percent=3.0)
    assert yes == 0 and no >= 0.9
