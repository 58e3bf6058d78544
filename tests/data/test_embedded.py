from itertools import islice

import pytest

from qweft.data.read.gym import Verifier, gsm_symbolic, gym_rows
from tests.data.test_read import read_rows


def test_gsm_symbolic_ends_in_the_checked_answer_and_groups_by_template():
    reasoning_gym = pytest.importorskip("reasoning_gym")
    rows = list(gsm_symbolic())
    assert rows == list(gsm_symbolic())
    assert len(rows) > 1900
    assert len({row["question"] for row in rows}) == len(rows)
    made = reasoning_gym.create_dataset("gsm_symbolic", seed=1, size=2000)
    checked = {item["question"]: (item["answer"], task) for item, task in zip(made, made.task_indices, strict=True)}
    groups: dict[str, set[int]] = {}
    for row in rows:
        answer, task = checked[row["question"]]
        assert row["answer"].endswith(f"#### {answer}")
        groups.setdefault(row["group"], set()).add(task)
    # One template a group and one group a template, told without looking at the template's number.
    assert all(len(tasks) == 1 for tasks in groups.values())
    assert len(groups) == len(set.union(*groups.values())) == 85


@pytest.mark.parametrize("task", ["chain_sum", "maze"])
def test_rows_of_a_task_are_the_same_at_every_call_and_right_by_its_verifier(task):
    pytest.importorskip("reasoning_gym")
    rows = [row for _, row in read_rows(f"embedded:reasoning_gym:{task}", 20)]
    assert rows == list(islice(gym_rows(task), 20)) and len({row["question"] for row in rows}) == 20
    verifier = Verifier(task, {row["question"] for row in rows})
    for row in rows:
        assert verifier.score(row["question"], row["answer"]) == 1.0
        assert verifier.score(row["question"], "no idea") < 0.1 and verifier.score(row["question"], "") < 0.1


def test_another_right_answer_than_the_one_on_record():
    """Four numbers have one expression on record and many that are right; only the verifier knows."""
    pytest.importorskip("reasoning_gym")
    row = next(gym_rows("puzzle24"))
    verifier = Verifier("puzzle24", {row["question"]})
    other = f"({row['answer']})"
    assert other != row["answer"] and verifier.score(row["question"], other) == 1.0
    assert verifier.score(row["question"], "24") < 1.0
