"""Embedded data sets of reasoning-gym, and their verifiers."""

from collections import defaultdict
from itertools import islice

import pytest

from qweft.data.read.gym import Verifier, gsm_symbolic, gym_rows
from tests.data.reading import read_rows

reasoning_gym = pytest.importorskip("reasoning_gym")


@pytest.fixture(scope="module")
def word_problems():
    return list(gsm_symbolic())


@pytest.fixture(scope="module")
def generated():
    """Answer and template of each generated question."""
    entries = reasoning_gym.create_dataset("gsm_symbolic", seed=1, size=2000)
    return {
        entry["question"]: (entry["answer"], template)
        for entry, template in zip(entries, entries.task_indices, strict=True)
    }


def test_word_problems_are_the_same_at_every_call_and_each_once(word_problems):
    assert word_problems == list(gsm_symbolic())
    assert len(word_problems) > 1900
    assert len({row["question"] for row in word_problems}) == len(word_problems)


def test_word_problems_end_in_the_checked_answer(word_problems, generated):
    for row in word_problems:
        answer, _ = generated[row["question"]]
        assert row["answer"].endswith(f"#### {answer}")


def test_a_group_of_word_problems_is_a_template(word_problems, generated):
    """Told without looking at the template's number."""
    templates_by_group = defaultdict(set)
    for row in word_problems:
        _, template = generated[row["question"]]
        templates_by_group[row["group"]].add(template)
    assert all(len(templates) == 1 for templates in templates_by_group.values())
    assert len(templates_by_group) == len(set.union(*templates_by_group.values())) == 85


@pytest.mark.parametrize("task", ["chain_sum", "maze"])
def test_rows_of_a_task_are_the_same_at_every_call(task):
    rows = read_rows(f"embedded:reasoning_gym:{task}", 20)
    assert rows == list(islice(gym_rows(task), 20))
    assert len({row["question"] for row in rows}) == 20


@pytest.mark.parametrize("task", ["chain_sum", "maze"])
def test_rows_of_a_task_are_right_by_its_verifier(task):
    rows = list(islice(gym_rows(task), 20))
    verifier = Verifier(task, {row["question"] for row in rows})
    for row in rows:
        assert verifier.score(row["question"], row["answer"]) == 1.0
        for nonsense in ("no idea", ""):
            assert verifier.score(row["question"], nonsense) < 0.1


def test_another_right_answer_than_the_one_on_record():
    """Four numbers have one expression on record and many that are right; only the verifier knows."""
    row = next(gym_rows("puzzle24"))
    verifier = Verifier("puzzle24", {row["question"]})
    assert verifier.score(row["question"], f"({row['answer']})") == 1.0
    assert verifier.score(row["question"], "24") < 1.0
