"""What is made of measured and exact scores: differences, shares, words."""

from dataclasses import replace

import pytest

from qweft.evaluation.row_scores import RowScore
from qweft.robustness.describe import table, text
from qweft.robustness.outcome import Computed, Effort, Robustness, Scored, Setting, enough_shots, point
from qweft.robustness.report import figures, write
from qweft.robustness.sample import Sample

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
EFFORT = Effort(100, 40, 1.0)


def robustness(points, **changes):
    whole = Robustness(
        "runs/a/adapter", "rows.jsonl (test)", "noisy", "noisy paper", True, "", "all 2 rows", SAMPLE, ("l.0", "l.1"),
        Computed.of(BASE, EXACT), ("ask", "tell"), tuple(points), len(points), {},
        {"command": "qweft evaluate", "dtype": "bfloat16"},
    )  # fmt: skip
    return replace(whole, **changes)


def at(shots, rise, scale=1.0, error=None, agreement_error=None, **changes):
    found = point(Setting(shots, scale), measured(rise, **changes), EXACT, MEASURED, EFFORT)
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
    found = point(Setting(10, 1.0), Scored(scores, ()), replace(EXACT, answers=()), MEASURED, EFFORT)
    rise = 1 / 5
    squares = ((1 - rise * 2) / (1 - 2 / 5)) ** 2 + ((0 - rise * 3) / (1 - 3 / 5)) ** 2  # the jackknife's
    assert found.rise == pytest.approx(rise)
    assert found.rise_error == pytest.approx((squares / 2) ** 0.5 / 5)


def test_shots_that_are_enough_are_enough_ever_after():
    def good(point):
        return point.rise < 0.1

    points = [at(10, 0.5), at(30, 0.05), at(100, 0.2), at(300, 0.04), at(1000, 0.0), at(None, 0.0)]
    assert enough_shots(points, good).setting.shots == 300
    assert enough_shots(points[:3], good) is None
    assert enough_shots(points[-1:], good) is None
    assert enough_shots([*points[:-1], at(None, 9.0)], good) is None  # luck: more shots lead elsewhere


def test_words_say_what_is_left_and_what_it_takes():
    points = [at(10, 0.9, changed=1, answers=("a", "b")), at(100, 0.1), at(None, 0.05, error=0.02)]
    assert text(robustness(points)) == [
        "noise x 1: without the noise of counting the loss is +0.0500 ± 0.0200 from the exact one; of the 1.0000 ± "
        "0.0000 by which the adapter lowers the base model's loss 95.0% ± 2.0% are left.",
        "noise x 1: at least 99% of the next tokens stay the same from 100 shots on, all answers from 100 shots on.",
    ]
    lost, never = text(robustness([at(10, 1.5, changed=1), at(20, 1.5)]))
    assert "at 20 shots the loss is +1.5000" in lost and ": nothing is left of" in lost
    assert "stay the same from 20 shots on, all answers at all of these numbers of shots" in never
    assert "not at 10 shots, all answers at 10 shots" in text(robustness([at(10, 0.1, changed=1)]))[1]
    worse = replace(Computed.of(BASE, EXACT), base=2.0)
    assert "does not lower" in text(robustness([at(10, 0.1)], computed=worse))[0]


def test_no_share_is_told_of_a_gain_within_twice_its_error():
    base = Scored((RowScore(8.0, (1, 2)), RowScore(8.5, (3, 4, 5))), ("", ""))  # one row gains, the other loses
    said = text(robustness([at(None, 0.05, error=0.02)], computed=Computed.of(base, EXACT)))[0]
    assert said.endswith("since that gain is within twice its error.")
    assert "no share is given of the 0.7000 ± " in said and "%" not in said


def test_a_loss_of_zero_has_no_minus():
    found = robustness([at(None, 0.0, error=0.0)])
    (point,) = found.points
    found = replace(found, points=(replace(point, rise=-1e-9),))
    assert "the loss is +0.0000 ± 0.0000 from the exact one: nothing is lost" in text(found)[0]
    assert table(found)[2][3] == "+0.0000 ± 0.0000"


def test_what_lies_within_its_error_is_not_said_to_be_lost_or_won():
    def said(rise):
        return text(robustness([at(None, rise, error=0.05)]))[0]

    assert said(0.04).endswith("within its error: that anything is lost of the 1.0000 ± 0.0000 by which the adapter "
                               "lowers the base model's loss is not shown.")  # fmt: skip
    assert "is not shown" in said(-0.04)
    assert "nothing is lost of the 1.0000" in said(-0.06)
    assert "94.0% ± 5.0% are left" in said(0.06)


def test_shots_cannot_be_enough_where_exact_probabilities_are_not():
    points = [at(10, 0.0), at(None, 0.0, changed=1, answers=("yes", "No"))]
    (_, needed) = text(robustness(points))
    assert needed.count("at no number of shots, for they do not with exact probabilities") == 2


def test_a_share_near_the_limit_is_not_settled():
    points = [at(10, 0.0, agreement_error=0.02), at(100, 0.0)]
    assert "(within one standard error of 99%, so not settled: 10)" in text(robustness(points))[1]


def test_drawn_tokens_say_nothing_of_the_whole():
    drawn = Sample("drawn", (0, 1), 0, ((1,), ()), 1, (1,))
    found = point(
        Setting(10, 1.0), replace(measured(0.3, changed=1), answers=()), replace(EXACT, answers=()),
        ((False, True), (False, False, False)), EFFORT,
    )  # fmt: skip
    assert found.agreement == 1.0  # of the one target that was measured; the changed ones were not
    told = text(robustness([found], sample=drawn, planned=3))
    assert told[0] == "1 of 3 settings measured so far."
    assert len(told) == 2 and "cannot be told" in told[1] and "left" not in told[1]
    none = point(Setting(10, 1.0), measured(0.3), EXACT, ((False,) * 2, (False,) * 3), EFFORT)
    assert none.agreement is None and none.agreement_error is None
    row = next(row for row in table(robustness([none], sample=drawn)) if row[1] == "10")
    assert row[4] == "-"
    assert figures(robustness([none, replace(none, setting=Setting(20, 1.0))], sample=drawn))


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
    assert "![Loss and predictions by shots: all 2 rows](by_shots.png)" in text and "qweft evaluate" in text
    assert (
        text.startswith("# noisy on rows.jsonl (test): all 2 rows, model in bfloat16\n")
        and "±: one standard error" in text
    )
    assert text.count("\n| x ") == 9
    assert "**tell**\n\n- no (computed; noise x 0, 10 shots; noise x 0, 100 shots; noise x 0, exact prob" in text
    assert 'xmlns="http://www.w3.org/2000/svg"' in (tmp_path / "by_noise.svg").read_text()


def test_names_of_files_are_no_markup_and_no_control_of_the_page(tmp_path):
    command = "qweft evaluate 'a\x1b[2J\n<img src=x>'"
    text = write(robustness([at(10, 0.1)], environment={"command": command, "dtype": "bfloat16"}), tmp_path).read_text()
    assert text.endswith("\n    qweft evaluate 'a[2J <img src=x>'\n")


def test_a_single_setting_has_no_plot():
    assert figures(robustness([at(None, 0.0)])) == []
