"""Held-out rows of sources of their own: exact, and nothing of them is trained on."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qweft.core.errors import QweftError
from qweft.data.config import DataConfig
from qweft.data.conversation import Conversation, Message
from qweft.data.load import load_data
from qweft.data.sources import Source
from qweft.data.split.pool import HELD_OUT_ELSEWHERE, LEFT_OVER
from qweft.data.split.split import SplitSizes, split
from tests.data.examples import last_questions, write_rows

ASKED_BY_TEST = {"What is 28?", "What is 29?"}


@pytest.fixture
def config(tmp_path):
    """Training asks 0 to 29 in two ways each, in groups of the first question; validation and test are others'."""
    train = []
    for number in range(30):
        for question in (f"{number}?", f"What is {number}?"):
            train.append({"query": question, "response": f"{number} it is", "original_question": f"Say {number}"})
    validation = [{"question": f"Say {number}", "answer": f"{number}"} for number in range(6)]
    test = [{"question": f"What  is {number}?", "answer": f"{number}"} for number in range(28, 40)]
    return DataConfig(
        write_rows(tmp_path / "train.jsonl", train),
        validation_rows=4,
        test_rows=12,
        max_length=64,
        validation_source=write_rows(tmp_path / "validation.jsonl", validation),
        test_source=write_rows(tmp_path / "test.jsonl", test),
    )


def test_held_out_rows_are_those_of_their_sources(config, chatml):
    data = load_data(config, chatml)
    assert (len(data.validation), len(data.test)) == (4, 12)
    questions = last_questions(data.conversations["validation"])
    assert all(question.startswith("Say") for question in questions)
    assert f"test: 12 rows in 12 groups of {config.test_source}" in data.report.describe()


def test_groups_that_are_held_out_elsewhere_are_not_trained_on(config, chatml):
    """Both ways of asking what validation asks."""
    data = load_data(config, chatml)
    held_out = {question.split()[1] for question in last_questions(data.conversations["validation"])}
    trained = {question.rstrip("?").split()[-1] for question in last_questions(data.conversations["train"])}
    assert not held_out & trained


def test_prompts_that_are_held_out_elsewhere_are_not_trained_on(config, chatml):
    """The two that test asks, in another case and spacing; the other way of asking them stays."""
    trained = set(last_questions(load_data(config, chatml).conversations["train"]))
    assert not ASKED_BY_TEST & trained
    assert "28?" in trained


def test_rows_that_are_held_out_elsewhere_are_counted(config, chatml):
    data = load_data(config, chatml)
    assert data.report.left_out == {"whose group or prompt is held out in another source": 10}
    assert len(data.train) == 50
    assert "left out: 10 rows whose group or prompt is held out in another source" in data.report.describe()


def test_the_test_rows_alone_may_be_of_another_source(config, chatml):
    data = load_data(replace(config, validation_source=None), chatml)
    train, validation = data.conversations["train"], data.conversations["validation"]
    assert data.report.held_out == {"test": config.test_source}
    assert len(validation) == 4
    assert not {row.group for row in train} & {row.group for row in validation}
    assert not ASKED_BY_TEST & {*last_questions(train), *last_questions(validation)}


def test_both_parts_may_share_a_source(config, chatml):
    shared = load_data(replace(config, validation_source=config.test_source, test_rows=8), chatml)
    validation = last_questions(shared.conversations["validation"])
    test = last_questions(shared.conversations["test"])
    assert len({*validation, *test}) == 12
    alone = load_data(replace(config, test_rows=8), chatml)
    assert last_questions(alone.conversations["test"]) == test


def numbered_rows(first, count, prefix):
    """Rows that ask a number, in five groups."""
    rows = []
    for number in range(first, first + count):
        messages = (Message("user", f"{number}"), Message("assistant", prefix))
        rows.append(Conversation(messages, f"{prefix}{number % 5}"))
    return rows


@given(st.integers(1, 30), st.integers(0, 12), st.integers(0, 12), st.integers(0, 3))
@settings(deadline=None, max_examples=60)
def test_no_prompt_is_in_two_parts(size, validation, test, seed):
    train = Source("train", numbered_rows(0, 40, "a"))
    elsewhere = {
        "validation": Source("validation", numbered_rows(0, size, "b")),
        "test": Source("test", numbered_rows(size // 2, size, "c")),
    }
    try:
        parts = split([train], SplitSizes(None, validation, test), seed, elsewhere=elsewhere)
    except QweftError:
        return
    assert [len(parts.validation), len(parts.test)] == [validation, test]
    questions = [set(last_questions(part)) for part in (parts.train, parts.validation, parts.test)]
    assert sum(map(len, questions)) == len(set.union(*questions))
    assert len(parts.train) + parts.left_out[HELD_OUT_ELSEWHERE] == 40
    assert not parts.left_out[LEFT_OVER]
