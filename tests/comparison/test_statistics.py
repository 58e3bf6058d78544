"""When a difference is shown: the rule, the interval, Student's t and the sign-flip test, against other libraries."""

import math

import numpy as np
import pytest
from benchmarks import coverage
from scipy import stats

from qweft.comparison.statistics import pair, paired_interval, sign_flip_p, smallest_p, widening, within


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


@pytest.mark.parametrize(
    ("percent", "margin", "direction"),
    [
        ((0.1, -0.1, 0.05), 0.5, "equivalent"),
        ((0.1, -0.1, 0.05), 0.1, "not shown"),
        ((0.1, -0.1, 0.05), None, "not shown"),
        ((0.0, 0.0, 0.0), 0.5, "equivalent"),
        ((0.1, 0.11, 0.12), 0.5, "higher"),
        ((0.1, -0.1), 0.5, "not shown"),
        ((2.0, -2.0, 1.0), 0.5, "not shown"),
    ],
)
def test_equivalent_where_the_90_percent_interval_lies_within_the_margin(percent, margin, direction):
    found = against_one([1 + difference / 100 for difference in percent], margin=margin)
    assert found.direction == direction and found.margin == margin
    if margin is not None and len(percent) > 2:
        assert found.interval[0] <= found.narrow[0] <= found.narrow[1] <= found.interval[1]


def test_a_diverged_run_is_not_equivalent():
    assert against_one([1.001, 0.999, 1.0, None], margin=5).direction == "not shown"


def test_methods_at_the_margin_are_called_equivalent_one_time_in_twenty():
    """Two one-sided tests: at a true difference of the margin itself the error is at most 5%, here of 400."""
    random, called = np.random.default_rng(2), 0
    for _ in range(400):
        losses, others = coverage.comparison(5, 48, "normal", "seeds and rows", random, percent=6.0)
        rows = [{seed: tuple((x, 1) for x in row) for seed, row in enumerate(each)} for each in (losses, others)]
        totals = [{seed: float(row.mean()) for seed, row in enumerate(each)} for each in (losses, others)]
        called += pair(*totals, *rows, margin=6.0).direction == "equivalent"
    assert called / 400 < 0.08


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


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 7, 47, 95, 600])
def test_students_t_equals_scipy(freedom):
    for t in (0.1, 1.0, 2.5, 12.0):
        assert within(t, freedom) == pytest.approx(1 - 2 * stats.t.sf(t, freedom), abs=1e-12)
    for level in (0.5, 0.95):
        wanted = stats.t.ppf((1 + level) / 2, freedom) / stats.norm.ppf((1 + level) / 2)
        assert widening(level, freedom) == pytest.approx(wanted, rel=1e-9)


@pytest.mark.parametrize("count", [3, 5, 8])
def test_the_seeds_part_is_the_t_interval(count):
    d = np.random.default_rng(count).normal(-2, 1, count)
    half = stats.t.ppf(0.975, count - 1) * d.std(ddof=1) / math.sqrt(count)
    # 10,000 draws place a quantile of 2.5% to about 3% of the half-width
    assert paired_interval(tuple(d)) == pytest.approx((d.mean() - half, d.mean() + half), abs=0.05 * half)


def made(seeds, rows, over_rows=7.0, by_seed=0.0, over_seeds=0.0, draw=0):
    """Summed losses of two methods, with chance of the named sizes in percent."""
    random = np.random.default_rng(draw)
    tokens = random.integers(10, 100, rows)
    others = random.normal(4, 0.5, rows) * tokens * np.ones((seeds, 1))
    sizes = ((over_seeds, (seeds, 1)), (over_rows, (1, rows)), (by_seed, (seeds, rows)))
    return others + sum(s * random.normal(size=size) for s, size in sizes) * 0.04 * tokens, others


def test_the_rows_part_is_a_plain_bootstrap_of_the_ratio():
    """Seeds that agree leave the rows alone; their chance, drawn row by row as anybody would."""
    losses, others = made(4, 30)
    d = coverage.relative(losses, others)
    assert np.ptp(d) < 1e-9
    random = np.random.default_rng(99)
    drawn = []
    for _ in range(20_000):
        picked = random.integers(0, 30, 30)
        drawn.append(100 * (losses[0, picked].sum() / others[0, picked].sum() - 1))
    wider = stats.t.ppf(0.975, 29) / stats.norm.ppf(0.975) * math.sqrt(30 / 29)
    wanted = d[0] + wider * (np.quantile(drawn, [0.025, 0.975]) - d[0])
    assert paired_interval(d, losses, others) == pytest.approx(wanted, abs=0.04 * np.ptp(wanted))


def test_both_parts_add_up_as_variances():
    losses, others = made(5, 60, over_seeds=2.0, over_rows=9.0)
    d = coverage.relative(losses, others)
    seeds = np.ptp(paired_interval(d))
    rows = np.ptp(paired_interval((0.0,) * 5, losses, others))
    assert np.ptp(paired_interval(d, losses, others)) == pytest.approx(math.hypot(seeds, rows), rel=0.05)


def test_what_rows_do_at_one_seed_alone_does_not_count_twice():
    """All chance is of the rows by seed: the spread of the seeds holds it, and the rows add little to it."""
    ratios = []
    for draw in range(40):
        losses, others = made(8, 60, over_rows=0.0, by_seed=7.0, draw=draw)
        d = coverage.relative(losses, others)
        ratios.append(np.ptp(paired_interval(d, losses, others)) / np.ptp(paired_interval(d)))
    assert np.median(ratios) < 1.1  # counted twice, it would be 1.3


def test_the_order_of_seeds_and_rows_hardly_matters_and_a_call_repeats():
    losses, others = made(5, 60, over_seeds=1.0, by_seed=5.0)
    d = coverage.relative(losses, others)
    interval = paired_interval(d, losses, others)
    assert interval == paired_interval(d, losses, others)
    turned = paired_interval(d[::-1], losses[::-1, ::-1], others[::-1, ::-1])
    assert turned == pytest.approx(interval, abs=0.05 * np.ptp(interval))


def test_no_difference_at_all_has_no_width():
    _, others = made(3, 10)
    assert paired_interval((0.0, 0.0, 0.0), others, others) == (0.0, 0.0)


@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize("shape", ["normal", "heavy tails", "skewed in both"])
def test_an_interval_of_95_percent_holds_the_truth_about_95_times_in_100(seeds, shape):
    """A quick form of benchmarks/coverage.py; the standard error of 600 repeats is 0.9 percentage points."""
    for source in ("seeds", "seeds and rows"):
        held, _ = coverage.measure(seeds, 48, shape, source, repeats=600)
        assert 0.925 <= held <= 0.99, source


@pytest.mark.parametrize("count", range(2, 13))
@pytest.mark.parametrize("shift", [0.0, 0.5, 3.0])
def test_the_sign_flip_test_equals_scipy(count, shift):
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
