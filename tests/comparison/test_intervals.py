"""The interval against closed forms, a plain bootstrap, and simulated comparisons without a difference."""

import math

import numpy as np
import pytest
from benchmarks import coverage
from scipy import stats

from qweft.comparison.statistics import paired_interval, widening, within


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
