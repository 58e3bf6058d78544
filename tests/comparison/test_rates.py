"""The parabola, the walk of the search, and how far a rate may be from its optimum."""

import math
import random

import numpy as np
import pytest
from benchmarks.shortfall import covered

from qweft.comparison.judge.random_effects import two_sided_p
from qweft.comparison.judge.rates import Parabola, best_tried, next_rate, optimum, parabola, shortfall
from qweft.comparison.judge.searches import Search, describe_doubt
from tests.comparison.comparison_examples import verdict


def by_rate(*losses, start=0.01):
    """One loss a rate, or several seeds', each rate twice the one before."""
    return {start * 2**place: loss if isinstance(loss, tuple) else (loss,) for place, loss in enumerate(losses)}


def walked(loss, start=1.0, most=12):
    """Exponents of two in the order of the search, and what it found."""
    tried = {}
    while (rate := next_rate(tried, start, most)) is not None:
        tried[rate] = (loss(math.log2(rate / start)),)
    return [round(math.log2(rate / start)) for rate in tried], tried


def test_the_parabola_is_that_of_polyfit_for_any_three_rates():
    draw = random.Random(0)
    for _ in range(200):
        x = sorted(draw.uniform(-14, 0) for _ in range(3))
        low = draw.uniform(0.5, 4)
        y = [low + draw.uniform(1e-3, 1), low, low + draw.uniform(1e-3, 1)]
        found = Parabola(tuple(2**each for each in x), tuple(y))
        a, b, _ = np.polyfit(np.array(x) - x[1], y, 2)
        assert found.curvature == pytest.approx(2 * a, rel=1e-6) and found.slope == pytest.approx(b, rel=1e-6, abs=1e-9)
        assert math.log2(found.vertex) - x[1] == pytest.approx(-b / (2 * a), rel=1e-6, abs=1e-9)
        assert found.rates[0] < found.vertex < found.rates[2] and found.loss_at(found.vertex) <= low
        assert [found.loss_at(2**each) for each in x] == pytest.approx(y)


@pytest.mark.parametrize(
    ("loss", "walk"),
    [
        (lambda x: 1 + (x - 0.1) ** 2, [0, 1, -1]),
        (lambda x: 1 + (x - 3.2) ** 2, [0, 1, 2, 3, 4]),
        (lambda x: 1 + (x + 2) ** 2, [0, 1, -1, -2, -3]),
        (lambda x: math.inf if x > 1 else 1 + (x - 1.4) ** 2, [0, 1, 2]),
        (
            lambda x: math.inf if x > -2 else 1 + (x + 3) ** 2,
            [0, -1, -2, -3, -4],
        ),  # it goes down until nothing diverges
        (lambda x: 1.0, [0, 1, -1, -2, -3, -4, -5, -6, -7, -8, -9, -10]),
        (lambda x: math.inf, [0, *range(-1, -12, -1)]),
        (lambda x: 10 - x, [*range(12)]),
    ],
)
def test_the_walk_ends_when_the_best_lies_between_two_or_at_the_cap(loss, walk):
    order, tried = walked(loss)
    assert order == walk
    assert len(walked(loss, most=3)[0]) == 3
    if 2.0 ** (round(math.log2(best_tried(tried)))) in (min(tried), max(tried)):
        assert len(tried) == 12 and optimum(tried) == best_tried(tried) and shortfall(tried, 1.0).nats is None


def test_the_vertex_is_taken_to_three_digits():
    curve = by_rate(*(2 + 0.02 * (place - 1.3) ** 2 for place in range(4)))
    assert optimum(curve) == float(f"{0.01 * 2**1.3:.3g}") == 0.0246
    assert parabola(curve).loss_at(0.01 * 2**1.3) == pytest.approx(2)


@pytest.mark.parametrize(
    ("losses", "reason"),
    [
        ((1.0, 1.1, 1.2), "its best rate lies at an end of what was tried"),
        ((1.2, 1.0, math.inf), "it diverged at a rate beside its best one"),
        ((1.01, 1.0, 1.3), "its loss jumps beside its best rate"),
        ((math.inf, math.inf, math.inf), "it diverged at every rate"),
        ((1.0,), "its best rate lies at an end of what was tried"),
    ],
)
def test_without_a_parabola_the_best_that_was_tried_is_taken(losses, reason):
    curve = by_rate(*((loss, loss) for loss in losses))
    assert parabola(curve) is None and optimum(curve) == best_tried(curve)
    found = shortfall(curve, best_tried(curve))
    assert (found.nats, found.percent, found.reason, found.text) == (None, None, reason, "not known")


def test_the_shortfall_by_hand():
    """Losses 2.03, 2, 2.03; residuals of 0.001, 0.002, 0.003 less their mean; t with 2 degrees of freedom is 4.303."""
    rows = [(2.031, 2.029), (2.002, 1.998), (2.033, 2.027)]
    curve = by_rate(*rows)
    table = np.array(rows)
    left = table - table.mean(1, keepdims=True) - table.mean(0) + table.mean()
    t = 4.302652729911275
    assert 1 - two_sided_p(t, 2) == pytest.approx(0.95)
    variance = (left**2).sum() / 2 / 2
    at_vertex = t**2 * variance / 2 / (2 * 0.06)  # curvature 0.06; the weights of the slope squared add up to a half
    found = shortfall(curve, 0.02)
    assert found.nats == pytest.approx(at_vertex, rel=1e-9) and found.percent == pytest.approx(50 * at_vertex)
    # half a factor of two beside it the loss is higher by 0.06 / 8, and the slope there less certain
    beside = (0.03 + t * math.sqrt(variance * (0.5 + 6 * 0.25))) ** 2 / 0.12
    assert shortfall(curve, 0.02 * 2**0.5).nats == pytest.approx(beside, rel=1e-9)
    shifted = {rate: (first, second + 0.7) for rate, (first, second) in curve.items()}  # a worse seed at every rate
    assert shortfall(shifted, 0.02).nats == pytest.approx(at_vertex, rel=1e-9)


def test_one_seed_gives_what_the_rates_of_a_list_leave_out():
    curve = by_rate(*(2 + 0.02 * (place - 1.3) ** 2 for place in range(4)))
    found = shortfall(curve, 0.02)
    assert found.nats == pytest.approx(0.02 * 0.3**2) and found.text.endswith("% or more")
    found = shortfall(curve, optimum(curve))
    assert found.nats < 1e-6 and found.text == "0.00% or more"


@pytest.mark.parametrize(
    ("shape", "curvature", "noise", "least", "largest"),
    [
        ("parabola", 0.02, 0.005, 0.9, 0.15),
        ("steep above", 0.02, 0.005, 0.9, 0.15),
    ],
)
def test_in_simulated_searches_it_holds_the_true_one(shape, curvature, noise, least, largest):
    share, true, _, stated = covered(shape, curvature, noise, count=300)
    assert least <= share < 1 and true < stated < largest / 100 * 3.7  # and it is no empty statement


def claim(direction="lower", room=0.5, method="a", other="b"):
    """A claim whose interval leaves so many percent."""
    return verdict(method, other, direction, room=room)


def flat(method, cost, best=0.02):
    """A search whose rate may fall short by so many percent: one seed, 0.5 x 0.02 x 100% at half a factor of two."""
    offset = math.sqrt(cost / 100 / 0.02)
    return Search(method, best, by_rate(*(1 + 0.02 * (place - 1 - offset) ** 2 for place in range(3))))


def test_a_doubt_stands_where_the_worse_methods_shortfall_exceeds_the_difference():
    """A better rate of the better method makes the difference larger. Of an equivalence both count."""
    found = {"a": flat("a", 0.2), "b": flat("b", 0.31)}
    assert [each.shortfall.text for each in found.values()] == ["0.20% or more", "0.31% or more"]
    said = "Learning rates may cost b 0.31% or more, more than the 0.30% that this interval leaves."
    for given in (found, {"b": found["b"]}, {**found, "a": flat("a", 9.0)}):
        assert describe_doubt(claim(room=0.3), given) == said
        assert describe_doubt(claim("higher", 0.3, "b", "a"), given) == said
        assert describe_doubt(claim(room=0.32), given) == ""
    assert describe_doubt(claim("higher", 0.19), found).startswith(
        "Learning rates may cost a 0.20% or more, more than "
    )
    assert describe_doubt(claim("higher", 0.21), found) == ""
    for silent in (claim("not decided"), claim("open", None)):
        assert describe_doubt(silent, found) == ""
    unsearched = "How far the rate of y is from its optimum is not known: it was not searched."
    assert describe_doubt(claim(method="a", other="y"), found) == unsearched
    assert describe_doubt(claim("equivalent", other="y"), found) == unsearched
    assert describe_doubt(claim("higher", method="a", other="y"), found) == ""
    assert describe_doubt(claim(method="x", other="y"), {}) == ""
    assert describe_doubt(claim("equivalent", 0.6), found) == ""
    assert describe_doubt(claim("equivalent"), found) == (
        "Learning rates may cost a 0.20% or more and b 0.31% or more, more than the 0.50% that this interval leaves."
    )
