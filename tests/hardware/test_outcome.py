"""What is made of measured and exact scores: differences, shares, words."""

from dataclasses import replace

import pytest

from qweft.evaluation.loss import RowScore
from qweft.hardware.describe import table, words
from qweft.hardware.figures import plates
from qweft.hardware.outcome import Judged, Robustness, Setting, enough_shots, point
from qweft.hardware.write import write

EXACT = Judged((RowScore(4.0, (1, 2)), RowScore(9.0, (3, 4, 5))), ("yes", "no"))


def measured(rise, changed=0, answers=("yes", "no")):
    scores = tuple(
        RowScore(
            score.total + rise * score.targets, tuple(t + 100 * (i < changed) for i, t in enumerate(score.predicted))
        )
        for score in EXACT.scores
    )
    return Judged(scores, answers)


def robustness(points, **changes):
    whole = Robustness(
        "runs/a/adapter", "rows.jsonl (test)", "noisy", "noisy paper", "all 2 rows", ("l.0", "l.1"), 3.6, 2.6,
        ("ask", "tell"), EXACT.answers, tuple(points), {"command": "qweft evaluate"},
    )  # fmt: skip
    return replace(whole, **changes)


def at(shots, rise, scale=1.0, **changes):
    return point(Setting(shots, scale), measured(rise, **changes), EXACT, 100, 1.0)


def test_a_point_by_hand():
    found = at(100, 0.5, changed=1, answers=("yes", "No"))
    assert found.loss == pytest.approx(13 / 5 + 0.5)
    assert (found.rise, found.rise_error) == (pytest.approx(0.5), pytest.approx(0, abs=1e-12))
    assert found.agreement == pytest.approx(3 / 5)
    assert found.same_answers == 1


def test_the_error_of_the_rise_is_paired():
    scores = (RowScore(5.0, (1, 2)), RowScore(9.0, (3, 4, 5)))  # the first row is worse by 0.5 a token
    found = point(Setting(10, 1.0), Judged(scores, ()), replace(EXACT, answers=()), 1, 1.0)
    rise = 1 / 5
    squares = (1 - rise * 2) ** 2 + (0 - rise * 3) ** 2
    assert found.rise == pytest.approx(rise)
    assert found.rise_error == pytest.approx((2 * squares) ** 0.5 / 5)


def test_shots_that_are_enough_are_enough_ever_after():
    def good(point):
        return point.rise < 0.1

    points = [at(10, 0.5), at(30, 0.05), at(100, 0.2), at(300, 0.04), at(1000, 0.0), at(None, 9.0)]
    assert enough_shots(points, good) == 300
    assert enough_shots(points[:3], good) is None
    assert enough_shots(points[-1:], good) is None


def test_words_say_what_is_left_and_what_it_takes():
    points = [at(10, 0.9, changed=1, answers=("a", "b")), at(100, 0.1), at(None, 0.05)]
    assert words(robustness(points)) == [
        "noise x 1: without the noise of counting the loss is +0.0500 ± 0.0000 from the exact one; of the 1.0000 by "
        "which the adapter lowers the base model's loss 95% are left.",
        "noise x 1: 99% of the next tokens stay the same from 100 shots on, all answers from 100 shots on.",
    ]
    lost, never = words(robustness([at(10, 1.5, changed=1), at(20, 1.5)]))
    assert "at 20 shots the loss is +1.5000" in lost and " 0% are left" in lost
    assert "stay the same from 20 shots on, all answers at all of these numbers of shots" in never
    assert "not at 10 shots, all answers at 10 shots" in words(robustness([at(10, 0.1, changed=1)]))[1]
    assert "left" not in words(robustness([at(10, 0.1)], base=2.0, device="shots"))[0]


def test_points_stand_by_noise_and_shots_with_exact_probabilities_last():
    found = robustness([at(None, 0, 1.0), at(100, 0, 1.0), at(10, 0, 0.5), at(1000, 0, 1.0)])
    assert [row[:2] for row in table(found)] == [
        ("noise", "shots"), ("", "computed"), ("x 0.5", "10"), ("x 1", "100"), ("x 1", "1,000"), ("x 1", "all"),
        ("", "base model"),
    ]  # fmt: skip


def test_the_folder_holds_numbers_a_page_and_the_plots(tmp_path):
    points = [at(shots, 1 / (shots or 1e9), scale) for scale in (0, 0.1, 1) for shots in (10, 100, None)]
    page = write(robustness(points), tmp_path)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [
        "by_noise.png", "by_noise.svg", "by_shots.png", "by_shots.svg", "robustness.json", "robustness.md",
    ]  # fmt: skip
    text = page.read_text()
    assert "![Loss and predictions by shots](by_shots.png)" in text and "qweft evaluate" in text
    assert text.count("\n| x ") == 9
    assert "**tell**\n\n- no (computed; noise x 0, 10 shots; noise x 0, 100 shots; noise x 0, exact prob" in text
    assert 'xmlns="http://www.w3.org/2000/svg"' in (tmp_path / "by_noise.svg").read_text()


def test_a_single_setting_has_no_plot():
    assert plates(robustness([at(None, 0.0)])) == []
