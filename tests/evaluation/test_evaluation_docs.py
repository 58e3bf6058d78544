"""The tables of docs/evaluation.md are those of the raw results, and these those of their answers."""

import json
from pathlib import Path

import pytest

from qweft.evaluation.outcome import _cells, _named
from qweft.evaluation.reasoning import judge_reasoning
from qweft.evaluation.scores import Compared, Score

DOCS = Path(__file__).parents[2] / "docs"


def raw(name):
    return json.loads((DOCS / "results" / f"evaluation-{name}.json").read_text(encoding="utf-8"))


def rows_of(name):
    """The table as the raw results give it."""
    for each in raw(name)["scores"]:
        numbers = {key: Score(**each[key]) for key in ("base", "adapted", "difference")}
        score = Compared(each["name"], **numbers, unit=each["unit"], note=each["note"])
        yield f"| {' | '.join([_named(score), *_cells(score), str(score.base.rows)])} |"


@pytest.mark.parametrize("name", ["dialogue", "reasoning"])
def test_the_table_is_that_of_the_raw_results(name):
    assert "\n".join(rows_of(name)) in (DOCS / "evaluation.md").read_text(encoding="utf-8")


def test_what_was_found_of_each_answer():
    found = raw("reasoning")
    for which in ("base", "adapted"):
        for field, name in (("is_strict", "strict accuracy"), ("is_accurate", "accuracy")):
            judged = [
                getattr(judge_reasoning(each["reference"], each["generated"][which], each["is_cut"][which]), field)
                for each in found["answers"]
            ]
            (score,) = [each for each in found["scores"] if each["name"] == name]
            assert score[which]["value"] == pytest.approx(100 * sum(judged) / len(judged))


def test_how_many_answers_were_cut():
    page = " ".join((DOCS / "evaluation.md").read_text(encoding="utf-8").split())
    for name in ("dialogue", "reasoning"):
        answers = raw(name)["answers"]
        base, adapted = (sum(each["is_cut"][which] for each in answers) for which in ("base", "adapted"))
        assert f"{base} of the base model's {len(answers)} answers were cut, {adapted} of the adapted one's" in page
