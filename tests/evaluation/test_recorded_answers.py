"""The scores of a kept evaluation are those of its answers."""

import json
from pathlib import Path

import pytest

from qweft.evaluation.reasoning import judge_reasoning

RESULTS = Path(__file__).parents[2] / "docs" / "results"


def test_what_was_found_of_each_answer():
    found = json.loads((RESULTS / "evaluation-reasoning.json").read_text(encoding="utf-8"))
    for which in ("base", "adapted"):
        for field, name in (("is_strict", "strict accuracy"), ("is_accurate", "accuracy")):
            judged = [
                getattr(judge_reasoning(each["reference"], each["generated"][which], each["is_cut"][which]), field)
                for each in found["answers"]
            ]
            (score,) = [each for each in found["scores"] if each["name"] == name]
            assert score[which]["value"] == pytest.approx(100 * sum(judged) / len(judged))
