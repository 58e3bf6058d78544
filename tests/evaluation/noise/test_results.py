"""What is made of measured and exact scores: differences, shares, words."""

from dataclasses import replace

import pytest

from qweft.evaluation.noise.plan import Setting
from qweft.evaluation.noise.run import NoiseResults, Point
from qweft.evaluation.scores import RowScore, loss_of

EXACT = (RowScore(4.0, (1, 2)), RowScore(9.0, (3, 4, 5)))
BASE = (RowScore(6.0, (1, 2)), RowScore(12.0, (3, 4, 5)))


def at(shots, rise, error=None, changed=0):
    """A point whose loss is higher by a number of nats a token, with the first tokens of each row changed."""
    scores = tuple(
        RowScore(
            score.total + rise * score.targets, tuple(t + 100 * (i < changed) for i, t in enumerate(score.predicted))
        )
        for score in EXACT
    )
    found = Point.of(Setting(shots, 1.0), scores, EXACT)
    return found if error is None else replace(found, rise_error=error)


def findings(*points, base=BASE):
    return NoiseResults({"has_noise": True}, loss_of(base), loss_of(EXACT), points).findings()


def test_a_point_by_hand():
    found = at(100, 0.5, changed=1)
    assert found.loss.loss == pytest.approx(13 / 5 + 0.5)
    assert (found.rise, found.rise_error) == (pytest.approx(0.5), pytest.approx(0, abs=1e-12))
    assert found.agreement == pytest.approx(3 / 5)


def test_the_error_of_the_rise_is_paired():
    scores = (RowScore(5.0, (1, 2)), RowScore(9.0, (3, 4, 5)))  # the first row is worse by 0.5 a token
    found = Point.of(Setting(10, 1.0), scores, EXACT)
    rise = 1 / 5
    squares = ((1 - rise * 2) / (1 - 2 / 5)) ** 2 + ((0 - rise * 3) / (1 - 3 / 5)) ** 2  # the jackknife's
    assert found.rise == pytest.approx(rise)
    assert found.rise_error == pytest.approx((squares / 2) ** 0.5 / 5)


def test_what_is_left_of_the_gain():
    assert "95.0% ± 2.0%" in findings(at(None, 0.05, error=0.02))[0]
    assert "0.0% ± 0.0%" in findings(at(20, 1.5, error=0.0))[0]
    unsure = (RowScore(8.0, (1, 2)), RowScore(8.5, (3, 4, 5)))  # one row gains, the other loses
    assert "does not clearly lower" in findings(at(None, 0.05, error=0.02), base=unsure)[0]
