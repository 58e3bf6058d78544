"""What is made of measured and exact scores: differences, shares, words."""

from dataclasses import replace

import pytest

from qweft.evaluation.noise.grid import Setting
from qweft.evaluation.noise.results import Computed, NoiseResults, Scored, enough_shots, point
from qweft.evaluation.noise.sample import Sample
from qweft.evaluation.row_scores import RowScore

EXACT = Scored((RowScore(4.0, (1, 2)), RowScore(9.0, (3, 4, 5))), ("yes", "no"))


def measured(rise, changed=0, answers=("yes", "no")):
    scores = tuple(
        RowScore(
            score.total + rise * score.targets, tuple(t + 100 * (i < changed) for i, t in enumerate(score.predicted))
        )
        for score in EXACT.scores
    )
    return Scored(scores, answers)


BASE = Scored((RowScore(6.0, (1, 2)), RowScore(12.0, (3, 4, 5))), ("", ""))
MEASURED = ((True, True), (True, True, True))
SAMPLE = Sample("all", (0, 1), 2, ((0, 1), (0, 1, 2)), 10, (5,))


def results_of(points, **changes):
    whole = NoiseResults(
        "runs/a/adapter", "rows.jsonl (test)", "noisy", "noisy paper", True, "", "all 2 rows", SAMPLE, ("l.0", "l.1"),
        Computed.of(BASE, EXACT), ("ask", "tell"), len(points), {},
        {"command": "qweft evaluate", "dtype": "bfloat16"}, tuple(points),
    )  # fmt: skip
    return replace(whole, **changes)


def at(shots, rise, scale=1.0, error=None, agreement_error=None, **changes):
    found = point(Setting(shots, scale), measured(rise, **changes), EXACT, MEASURED)
    found = found if error is None else replace(found, rise_error=error)
    return found if agreement_error is None else replace(found, agreement_error=agreement_error)


def test_a_point_by_hand():
    found = at(100, 0.5, changed=1, answers=("yes", "No"))
    assert found.loss == pytest.approx(13 / 5 + 0.5)
    assert (found.rise, found.rise_error) == (pytest.approx(0.5), pytest.approx(0, abs=1e-12))
    assert found.agreement == pytest.approx(3 / 5)
    assert found.same_answers == 1


def test_the_error_of_the_rise_is_paired():
    scores = (RowScore(5.0, (1, 2)), RowScore(9.0, (3, 4, 5)))  # the first row is worse by 0.5 a token
    found = point(Setting(10, 1.0), Scored(scores, ()), replace(EXACT, answers=()), MEASURED)
    rise = 1 / 5
    squares = ((1 - rise * 2) / (1 - 2 / 5)) ** 2 + ((0 - rise * 3) / (1 - 3 / 5)) ** 2  # the jackknife's
    assert found.rise == pytest.approx(rise)
    assert found.rise_error == pytest.approx((squares / 2) ** 0.5 / 5)


def test_shots_that_are_enough_are_enough_ever_after():
    def good(point):
        return point.rise < 0.1

    points = [at(10, 0.5), at(30, 0.05), at(100, 0.2), at(300, 0.04), at(1000, 0.0), at(None, 0.0)]
    assert enough_shots(points, good) == 300
    assert enough_shots(points[:3], good) is None
    assert enough_shots(points[-1:], good) is None
    assert enough_shots([*points[:-1], at(None, 9.0)], good) is None  # luck: more shots lead elsewhere


def left(*points, **changes):
    return results_of(points, **changes).findings()[0]


def test_what_is_left_of_the_gain():
    assert "95.0% ± 2.0% are left" in left(at(None, 0.05, error=0.02))
    assert "no loss" in left(at(None, 0.04, error=0.05)) and "no loss" in left(at(None, -0.06, error=0.05))
    assert "nothing is left" in left(at(20, 1.5))
    worse = replace(Computed.of(BASE, EXACT), base=2.0)
    assert "does not clearly lower" in left(at(10, 0.1), computed=worse)
    unsure = Scored((RowScore(8.0, (1, 2)), RowScore(8.5, (3, 4, 5))), ("", ""))  # one row gains, the other loses
    assert "%" not in left(at(None, 0.05, error=0.02), computed=Computed.of(unsure, EXACT))


def test_how_many_shots_are_needed():
    points = [at(10, 0.9, changed=1, answers=("a", "b")), at(100, 0.1), at(None, 0.05, error=0.02)]
    assert results_of(points).findings()[1].count("from 100 shots on") == 2
    never = [at(10, 0.0), at(None, 0.0, changed=1, answers=("yes", "No"))]
    assert results_of(never).findings()[1].count("at none") == 2


def test_drawn_tokens_say_nothing_of_the_whole():
    drawn = Sample("drawn", (0, 1), 0, ((1,), ()), 1, (1,))
    found = point(
        Setting(10, 1.0), replace(measured(0.3, changed=1), answers=()), replace(EXACT, answers=()),
        ((False, True), (False, False, False)),
    )  # fmt: skip
    assert found.agreement == 1.0  # of the one target that was measured; the changed ones were not
    told = results_of([found], sample=drawn, planned=3).findings()
    assert told[0].startswith("1 of 3 settings") and "cannot be told" in told[1] and len(told) == 2
    none = point(Setting(10, 1.0), measured(0.3), EXACT, ((False,) * 2, (False,) * 3))
    assert none.agreement is None and none.agreement_error is None
    row = next(row for row in results_of([none], sample=drawn).table() if row[1] == "10")
    assert row[4] == "-"
