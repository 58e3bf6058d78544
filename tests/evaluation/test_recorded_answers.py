"""The scores of a kept evaluation are those of its answers."""

import pytest
from research import evidence

from qweft.evaluation.metrics.reasoning import judge_reasoning


def test_what_was_found_of_each_answer():
    found = evidence.read("evaluation-reasoning")
    for which in ("base", "adapted"):
        for field, name in (("is_strict", "strict accuracy"), ("is_accurate", "accuracy")):
            judged = [
                getattr(judge_reasoning(each["reference"], each["generated"][which], each["is_cut"][which]), field)
                for each in found["answers"]
            ]
            (score,) = [each for each in found["scores"] if each["name"] == name]
            assert score[which]["value"] == pytest.approx(100 * sum(judged) / len(judged))
