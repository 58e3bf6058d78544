"""Tasks of reasoning-gym as data, and answers scored by their verifiers."""

from itertools import islice

import pytest

from qweft.data import embedded
from qweft.data.embedded import Verifier, gym_rows
from qweft.data.read import read_rows

pytest.importorskip("reasoning_gym")


@pytest.mark.parametrize("task", ["chain_sum", "leg_counting", "maze"])
def test_rows_are_the_same_at_every_call_and_right_by_their_verifier(task):
    rows = [row for _, row in read_rows(f"embedded:reasoning_gym:{task}", 20)]
    assert rows == list(islice(gym_rows(task), 20))
    assert len({row["question"] for row in rows}) == 20
    verifier = Verifier(task, {row["question"] for row in rows})
    for row in rows:
        assert verifier.score(row["question"], row["answer"]) == 1.0
        assert verifier.score(row["question"], "no idea") < 0.1
        assert verifier.score(row["question"], "") < 0.1


def test_another_right_answer_than_the_one_on_record():
    """Four numbers have one expression on record and many that are right; only the verifier knows."""
    row = next(gym_rows("puzzle24"))
    verifier = Verifier("puzzle24", {row["question"]})
    other = f"({row['answer']})"
    assert other != row["answer"] and verifier.score(row["question"], other) == 1.0
    assert verifier.score(row["question"], "24") < 1.0


def test_repeated_questions_and_empty_answers_are_left_out(monkeypatch):
    entries = [{"question": q, "answer": a} for q, a in (("a", "1"), ("a", "1"), ("b", " "), ("c", None), ("d", "2"))]
    monkeypatch.setattr(embedded, "gym_dataset", lambda task: entries)
    assert [row["question"] for row in gym_rows("any")] == ["a", "d"]
