"""When a difference is significant: the rule, the interval and the sign-flip test, against other libraries."""

import math

import numpy as np
import pytest
from benchmarks import coverage
from scipy import stats

from qweft.comparison.judge.random_effects import crossed_standard_errors
from qweft.comparison.judge.statistics import SINGLE_ROW, InterimAnalysis, SeedLosses, compare_losses, sign_flip_p


def against_one(losses, rows=None, reference_rows=None, **how):
    """Losses by seed against ones."""
    ones = dict.fromkeys(range(len(losses)), 1.0)
    method = SeedLosses(dict(enumerate(losses)), rows or {})
    return compare_losses(method, SeedLosses(ones, reference_rows or {}), **how)


def by_rows(losses, tokens=1):
    """Losses by seed from summed losses of rows, (seeds, rows)."""
    rows = {seed: tuple((float(total), tokens) for total in sums) for seed, sums in enumerate(losses)}
    return SeedLosses({seed: float(sums.sum()) / sums.size / tokens for seed, sums in enumerate(losses)}, rows)


@pytest.mark.parametrize(
    ("losses", "direction", "reason"),
    [
        ([0.90, 0.91, 0.92], "lower", ""),
        ([1.10, 1.11, 1.12], "higher", ""),
        ([1.10, 1.20, 1.001], "not decided", "p is above 0.05"),
        ([0.5, 0.5], "not decided", "at least 3 seeds are needed"),
        ([1.0, 1.0, 1.0], "not decided", "the losses are equal"),
        ([0.1, 0.1, None, 0.1], "not decided", "a run diverged at 1 of 4 seeds"),
        ([], "not decided", "there is no seed that both have"),
    ],
)
def test_a_direction_is_shown_only_where_the_interval_of_three_seeds_excludes_zero(losses, direction, reason):
    found = against_one(losses)
    assert (found.direction, found.reason) == (direction, reason)
    if len(losses) < 3 or None in losses:
        assert found.interval is found.minimum_detectable_effect is found.difference is None
        assert found.obstacle == reason and len(found.paired.differences) in (0, 1, 2, 3)
    zero = compare_losses(SeedLosses({0: 0.1, 1: 0.1, 2: 0.1}), SeedLosses({0: 0.0, 1: 0.0, 2: 0.0}))
    assert (zero.direction, zero.reason) == ("not decided", "the other method's loss is zero")


def test_a_run_that_diverged_counts_at_whichever_seed():
    """The other seeds do not decide: neither those of an earlier analysis, nor where the other method has none."""
    losses = SeedLosses({0: 1.0, 1: 1.01, 2: 1.02, 3: None})
    others = SeedLosses({0: 2.0, 1: 2.02, 2: 2.05})
    both = SeedLosses({**others.totals, 3: None})
    for found in (
        compare_losses(losses, others),
        compare_losses(others, losses),
        compare_losses(losses, others, InterimAnalysis(seeds=(0, 1, 2))),
        compare_losses(both, losses, margin=50.0),
        compare_losses(losses, losses, margin=5.0),
    ):
        assert (found.direction, found.reason) == ("not decided", "a run diverged at 1 of 4 seeds")
        assert found.difference is None and found.equivalence is None


@pytest.mark.parametrize(
    ("percent", "margin", "direction"),
    [
        ((0.1, -0.1, 0.05), 0.5, "equivalent"),
        ((0.1, -0.1, 0.05), 0.1, "not decided"),
        ((0.1, -0.1, 0.05), None, "not decided"),
        ((0.0, 0.0, 0.0), 0.5, "equivalent"),
        ((0.1, 0.11, 0.12), 0.5, "equivalent"),  # significant, and less than what matters
        ((0.6, 0.61, 0.62), 0.5, "higher"),
        ((-0.45, -0.5, -0.55), 0.5, "lower"),
        ((0.1, -0.1), 0.5, "not decided"),
    ],
)
def test_equivalent_where_the_90_percent_interval_lies_within_the_margin(percent, margin, direction):
    found = against_one([1 + difference / 100 for difference in percent], margin=margin)
    assert found.direction == direction
    if margin is not None and len(percent) > 2:
        assert found.equivalence.margin == margin
        assert found.equivalence.farthest <= 1.02 * max(map(abs, found.interval))


@pytest.mark.parametrize("margin", [0.3, 0.6, 2.0])
def test_the_p_of_equivalence_is_that_of_two_one_sided_t_tests(margin):
    d = np.random.default_rng(4).normal(0.3, 0.2, 5)
    errors = crossed_standard_errors(d)
    sides = [
        stats.ttest_1samp(d, side * margin, alternative=than).pvalue for side, than in ((-1, "greater"), (1, "less"))
    ]
    p = errors.equivalence_p(d.mean(), margin)
    assert p == pytest.approx(max(sides))
    for level in (0.98 * p, 1.02 * p):  # the interval of 1 - 2 * level lies within the margin
        inside = max(map(abs, errors.interval(d.mean(), 1 - 2 * level))) <= margin
        assert inside == (p <= level)


def test_the_p_of_equivalence_is_the_largest_over_seeds_rows_and_both():
    losses, others = made(4, 30, over_seeds=2.0)
    errors = crossed_standard_errors(coverage.relative(losses, others), losses, others)
    every = [stats.t.sf((6.0 - 1.0) / error, freedom) for error, freedom in errors.parts]
    assert errors.equivalence_p(-1.0, 6.0) == pytest.approx(max(every)) and len(set(every)) == len(every) > 1


def test_without_any_error_a_difference_below_the_margin_is_equivalent():
    errors = crossed_standard_errors([0.25, 0.25, 0.25])
    assert [errors.equivalence_p(d, 0.5) for d in (0.25, -0.25, 0.5, 0.75)] == [0.0, 0.0, 1.0, 1.0]


def test_a_pair_is_equivalent_in_both_orders_or_in_none():
    """0.992 is 0.8% below 1, and 1 is 0.81% above 0.992."""
    low = SeedLosses(dict(enumerate([0.992, 0.99201, 0.99202])))
    high = SeedLosses(dict(enumerate([1.0, 1.00001, 1.00002])))
    for margin, direction in ((0.79, None), (0.803, None), (0.82, "equivalent")):
        one, other = compare_losses(low, high, margin=margin), compare_losses(high, low, margin=margin)
        assert (one.direction, other.direction) == ((direction,) * 2 if direction else ("lower", "higher")), margin


def test_methods_at_the_margin_are_called_equivalent_one_time_in_twenty():
    """Two one-sided tests: at a true difference of the margin itself the error is at most 5%, here of 400."""
    random, called = np.random.default_rng(2), 0
    for _ in range(400):
        losses, others = coverage.comparison(5, 48, "normal", "seeds and rows", random, percent=6.0)
        called += compare_losses(by_rows(losses), by_rows(others), margin=6.0).direction == "equivalent"
    assert called / 400 < 0.08


def test_from_six_seeds_on_the_test_must_agree():
    """One sign turned: 4 of 64 patterns reach the sum, too many, though the interval excludes zero."""
    percent = (2.0, 1.8, 0.4, -0.05, 0.5, 1.0)
    turned = against_one([1 + difference / 100 for difference in percent])
    assert turned.interval[0] > 0 and sign_flip_p(percent) == 4 / 64
    assert (turned.direction, turned.reason) == ("not decided", "the sign-flip p is above 0.05")
    alike = against_one([1 + abs(difference) / 100 for difference in percent])
    assert sign_flip_p(alike.paired.differences) == 2 / 64 and alike.direction == "higher"


def test_rows_widen_the_interval_and_their_number_is_recorded():
    losses, others = coverage.comparison(3, 20, "normal", "rows", np.random.default_rng(0))
    method, other = by_rows(losses, tokens=5), by_rows(others, tokens=5)
    alone = compare_losses(SeedLosses(method.totals), SeedLosses(other.totals))
    both = compare_losses(method, other)
    assert (alone.difference.rows, both.difference.rows) == (0, 20)
    assert np.ptp(both.interval) > 2 * np.ptp(alone.interval)
    without = SeedLosses(method.totals, {**method.rows, 1: ()})  # a seed of an earlier version
    assert compare_losses(without, other).difference == alone.difference


@pytest.mark.parametrize("seeds", [3, 5, 7])
def test_a_method_against_itself_at_other_draws_is_seldom_shown(seeds):
    said = coverage.directions(seeds, 48, "seeds", 0.0, 1000)
    assert 10 < sum(direction != "not decided" for direction in said) < 65  # 5%, with a standard error of 0.7


def test_three_controls_err_no_more_often_than_one_where_the_circuit_does_nothing():
    """Corrected by Holm; uncorrected, three controls said no 5 to 8 times in 100. The standard error is 0.8."""
    for controls in (1, 3):
        yes, no = coverage.circuit_answers(3, 48, "seeds", controls, 400)
        assert yes < 0.05 and no < 0.05
        assert coverage.circuit_equivalences(3, 48, "seeds", controls, 400) < 0.08  # each has its share of the level


@pytest.mark.parametrize("count", [3, 5, 8])
def test_the_seeds_part_is_the_t_interval_and_its_p_the_t_test(count):
    d = np.random.default_rng(count).normal(-2, 1, count)
    half = stats.t.ppf(0.975, count - 1) * d.std(ddof=1) / math.sqrt(count)
    assert coverage.interval(tuple(d)) == pytest.approx((d.mean() - half, d.mean() + half))
    found = against_one([1 + x / 100 for x in d])
    assert found.difference.p_value == pytest.approx(stats.ttest_1samp(d, 0).pvalue)
    assert found.minimum_detectable_effect == pytest.approx(
        half * (1 + stats.t.ppf(0.8, count - 1) / stats.t.ppf(0.975, count - 1))
    )


def made(seeds, rows, over_rows=7.0, by_seed=0.0, over_seeds=0.0, draw=0):
    """Summed losses of two methods, with chance of the named sizes in percent."""
    random = np.random.default_rng(draw)
    tokens = random.integers(10, 100, rows)
    others = random.normal(4, 0.5, rows) * tokens * np.ones((seeds, 1))
    sizes = ((over_seeds, (seeds, 1)), (over_rows, (1, rows)), (by_seed, (seeds, rows)))
    return others + sum(s * random.normal(size=size) for s, size in sizes) * 0.04 * tokens, others


def squares(losses, others):
    """Sums of squares of seeds, rows and the rest by least squares on indicator columns, with their freedoms.

    The rows are of equal size.
    """
    n, m = losses.shape
    rate = (losses - others).sum() / others.sum()
    y = (m * 100 * (losses - others - rate * others.mean(0)) / others.mean(0).sum()).ravel()
    seed, row = (index.ravel() for index in np.indices((n, m)))
    columns = [np.ones((n * m, 1)), np.eye(n)[seed][:, 1:], np.eye(m)[row][:, 1:]]
    left = []
    for used in (columns[:1], columns[:2], columns):
        design = np.hstack(used)
        left.append(np.square(y - design @ np.linalg.lstsq(design, y, rcond=None)[0]).sum())
    return -np.diff([*left, 0]), np.array([n - 1, m - 1, (n - 1) * (m - 1)])


def test_the_errors_are_those_of_two_way_random_effects():
    """Mean squares by least squares in float64, the variance of the mean and Satterthwaite's freedom from them."""
    losses, others = made(5, 40, over_seeds=2.0, over_rows=9.0, by_seed=4.0)
    losses, others = 100 * losses / others, np.full(others.shape, 100.0)
    found = crossed_standard_errors(coverage.relative(losses, others), losses, others)
    sums, freedom = squares(losses, others)
    means = sums / freedom
    total = means[0] + means[1] - means[2]
    assert found.parts[2][0] == pytest.approx(math.sqrt(total / 200), rel=1e-9)
    assert found.parts[2][1] == pytest.approx(total**2 / (means**2 / freedom).sum(), rel=1e-9)
    assert found.parts[0] == pytest.approx((math.sqrt(means[0] / 200), 4), rel=1e-9)
    assert found.parts[1] == pytest.approx((math.sqrt(means[1] / 200), 39), rel=1e-9)


def test_rows_alone_are_the_jackknife_of_the_ratio():
    """Seeds that agree leave the rows: what the difference becomes without each of them, and as many as they count."""
    losses, others = made(4, 30)
    d = coverage.relative(losses, others)
    assert np.ptp(d) < 1e-9
    whole, scale = (losses[0] - others[0]).sum(), others[0].sum()
    left = (whole - losses[0] + others[0]) / (scale - others[0])
    error = 100 * math.sqrt(29 / 30 * np.square(left - whole / scale).sum())
    half = stats.t.ppf(0.975, scale**2 / np.square(others[0]).sum() - 1) * error
    assert coverage.interval(d, losses, others) == pytest.approx((d[0] - half, d[0] + half), rel=1e-3)


@pytest.mark.parametrize("large", [1, 40])
def test_a_group_that_holds_most_of_the_tokens_shows_no_difference_that_is_none(large):
    """Twelve groups, one of them as large as named beside the others; the standard error of 400 repeats is 1.1."""
    random = np.random.default_rng(large)
    tokens = 100 * np.array([large, *[1] * 11])
    found = 0
    for _ in range(400):
        others = tokens * random.normal(3, 0.3, 12) * np.ones((3, 1))
        losses = others * (1 + (random.normal(0, 2, 12) + random.normal(0, 0.1, (3, 1))) / 100)
        d = coverage.relative(losses, others)
        found += crossed_standard_errors(d, losses, others).difference_p(float(np.mean(d))) <= 0.05
    assert found / 400 < 0.08


@pytest.mark.parametrize("by_seed", [4.0, 30.0])
def test_a_negative_part_never_narrows_an_interval(by_seed):
    """Few groups of rows: where the estimate of a part is below zero, either part alone bounds the interval."""
    clipped = 0
    for draw in range(60):
        losses, others = made(3, 4, over_rows=2.0, by_seed=by_seed, draw=draw)
        d = coverage.relative(losses, others)
        found = crossed_standard_errors(d, losses, others)
        half = found.interval(0.0)[1]
        for error, freedom in found.parts[:2]:
            assert half >= stats.t.ppf(0.975, freedom) * error * (1 - 1e-9)
        clipped += len(found.parts) == 2
    assert clipped > 10


@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize("shape", ["normal", "heavy tails", "skewed in both"])
def test_an_interval_of_95_percent_holds_the_truth_about_95_times_in_100(seeds, shape):
    """A quick form of benchmarks/coverage.py; the standard error of 600 repeats is 0.9 percentage points."""
    for source in ("seeds", "seeds and rows"):
        held, _ = coverage.measure(seeds, 48, shape, source, repeats=600)
        assert 0.925 <= held <= 0.99, source


@pytest.mark.parametrize("count", [2, 5, 12])
@pytest.mark.parametrize("shift", [0.0, 3.0])
def test_the_sign_flip_test_equals_scipy(count, shift):
    differences = np.random.default_rng(count).normal(shift, 1, count)
    exact = stats.permutation_test((differences,), np.mean, permutation_type="samples", n_resamples=np.inf)
    assert sign_flip_p(tuple(differences)) == pytest.approx(exact.pvalue, abs=1e-12)


def test_sums_equal_on_paper_count_as_equal_and_too_many_have_no_p():
    """0.1 + 0.2 - 0.3 is not 0 in binary: of all signs of equal numbers, every sum of one size counts."""
    assert sign_flip_p((0.1, 0.2, -0.3)) == 1.0
    assert sign_flip_p((0.1, 0.1, 0.1, -0.1)) == pytest.approx(10 / 16)
    assert sign_flip_p(tuple(range(1, 17))) == 2 / 2**16
    assert sign_flip_p((1.0,) * 21) is None and sign_flip_p(()) is None


def test_an_interim_analysis_sets_the_level_the_seeds_and_the_corrected_p():
    losses = [0.90, 0.91, 0.92, 1.4]
    three = (0, 1, 2)
    alone = against_one(losses, analysis=InterimAnalysis(seeds=three))
    assert alone.direction == "lower" and len(alone.paired.seeds) == 3 and alone.difference.p_value < 0.01
    assert against_one(losses).direction == "not decided"
    strict = against_one(losses, analysis=InterimAnalysis(seeds=three, level=0.001))
    assert (strict.direction, strict.reason) == ("not decided", "p is above 0.001")
    family = against_one(losses, analysis=InterimAnalysis(0.06, seeds=three))
    assert (family.direction, family.reason) == ("not decided", "the corrected p is above 0.05")
    assert family.difference.corrected_p == 0.06


@pytest.mark.parametrize(
    ("analysis", "direction"),
    [
        (InterimAnalysis(), "equivalent"),
        (InterimAnalysis(equivalence_p=0.05), "equivalent"),
        (InterimAnalysis(equivalence_p=0.051), "not decided"),
        (InterimAnalysis(equivalence_p=0.01, level=0.0125), "equivalent"),
        (InterimAnalysis(equivalence_p=0.02, level=0.0125), "not decided"),
    ],
)
def test_an_interim_analysis_sets_the_corrected_p_of_equivalence(analysis, direction):
    found = against_one([0.999, 1.0, 1.002], margin=5.0, analysis=analysis)
    assert found.direction == direction and found.equivalence.p_value < 0.01
    assert found.equivalence.corrected_p == (analysis.equivalence_p or found.equivalence.p_value)


def test_of_one_row_or_one_group_nothing_is_shown():
    """Two rows that differ widen the interval; a single one would leave the chance of the rows out without a word."""
    losses, one = [0.90, 0.91, 0.92], dict.fromkeys(range(3), ((0.9, 9),))
    for rows in (one, {**one, 1: ((1.0, 3), (0.0, 0)), 2: ()}):
        for given in ({"rows": rows}, {"reference_rows": rows}, {"rows": rows, "reference_rows": one, "margin": 50.0}):
            found = against_one(losses, **given)
            assert (found.direction, found.reason) == ("not decided", SINGLE_ROW)
            assert found.difference is None and found.equivalence is None
    assert against_one([0.5, 0.5], rows=one, reference_rows=one).reason == "at least 3 seeds are needed"


def test_a_row_whose_loss_is_not_a_number_shows_nothing():
    """As a null in results.json is read; the losses of the whole are known and far apart."""
    rows = {k: ((math.nan if k == 1 else 3.0, 2), (5.0 + k, 3)) for k in range(3)}
    others = dict.fromkeys(range(3), ((3.5, 2), (5.5, 3)))
    found = against_one([0.90, 0.91, 0.92], rows=rows, reference_rows=others)
    assert (found.direction, found.reason) == ("not decided", "the loss of a test row is not a number")
    assert found.difference is None


def test_rows_without_targets_are_not_of_the_sample():
    rows = {k: ((3.0 + k, 2), (0.0, 0), (5.0, 3)) for k in range(3)}
    others = dict.fromkeys(range(3), ((3.5, 2), (0.0, 0), (5.5, 3)))
    totals = [{k: sum(s for s, _ in m[k]) / 5 for k in m} for m in (rows, others)]
    with_targets = [{k: tuple(row for row in m[k] if row[1]) for k in m} for m in (rows, others)]
    found = compare_losses(SeedLosses(totals[0], rows), SeedLosses(totals[1], others))
    dense = compare_losses(SeedLosses(totals[0], with_targets[0]), SeedLosses(totals[1], with_targets[1]))
    assert found.difference.rows == 2 and found.difference == dense.difference


def test_a_planted_better_method_is_found():
    said = coverage.directions(5, 48, "seeds", -3.0, 100)
    assert said.count("lower") >= 95 and "higher" not in said


def test_a_circuit_that_helps_and_one_that_harms_are_found_against_three_controls():
    yes, no = coverage.circuit_answers(5, 48, "seeds", 3, 40, percent=-3.0)
    assert yes >= 0.9 and no == 0
    yes, no = coverage.circuit_answers(5, 48, "seeds", 3, 40, percent=3.0)
    assert yes == 0 and no >= 0.9


def test_a_minimum_detectable_effect_is_found_four_times_in_five():
    """The effect that five seeds and 48 rows could show on average, planted; the standard error is 2.5."""
    random = np.random.default_rng(5)
    drawn = [coverage.comparison(5, 48, "normal", "seeds", random) for _ in range(250)]
    differences = [coverage.relative(*losses) for losses in drawn]
    errors = [crossed_standard_errors(percents, *losses) for percents, losses in zip(differences, drawn, strict=True)]
    effect = math.sqrt(np.mean([np.square(each.minimum_detectable_effect()) for each in errors]))
    pairs = zip(errors, differences, strict=True)
    significant = [each.difference_p(effect + np.mean(percents)) <= 0.05 for each, percents in pairs]
    assert 0.72 < np.mean(significant) < 0.88


def test_what_rows_do_at_one_seed_alone_does_not_count_twice():
    """All chance is of the rows by seed: the spread of the seeds holds it, and the rows add little to it."""
    drawn = [made(8, 60, over_rows=0.0, by_seed=7.0, draw=draw) for draw in range(40)]
    pairs = [(coverage.relative(*each), each) for each in drawn]
    ratios = [np.ptp(coverage.interval(d, *each)) / np.ptp(coverage.interval(d)) for d, each in pairs]
    assert np.median(ratios) < 1.1  # counted twice, it would be 1.3
