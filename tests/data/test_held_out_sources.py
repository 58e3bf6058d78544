"""Held-out rows of sources of their own: exact, and nothing of them is trained on."""

import json
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


def write(path, rows):
    path.write_text("\n".join(map(json.dumps, rows)))
    return str(path)


def asked(rows):
    return [row.prompt[-1].content for row in rows]


@pytest.fixture
def config(tmp_path):
    """Training asks 0 to 29 in two ways each, in groups of the first question; validation and test are others'."""
    ways = ("{}?", "What is {}?")
    train = [
        {"query": way.format(n), "response": f"{n} it is", "original_question": f"Say {n}"}
        for n in range(30)
        for way in ways
    ]
    validation = [{"question": f"Say {n}", "answer": f"{n}"} for n in range(6)]
    test = [{"question": f"What  is {n}?", "answer": f"{n}"} for n in range(28, 40)]
    return DataConfig(
        write(tmp_path / "train.jsonl", train), validation_rows=4, test_rows=12, max_length=64,
        validation_source=write(tmp_path / "validation.jsonl", validation),
        test_source=write(tmp_path / "test.jsonl", test),
    )  # fmt: skip


def test_what_is_held_out_is_not_trained_on(config, chatml):
    data = load_data(config, chatml)
    assert (len(data.validation), len(data.test)) == (4, 12)
    assert all(question.startswith("Say") for question in asked(data.conversations["validation"]))
    held_out = {question.split()[1] for question in asked(data.conversations["validation"])}
    trained = asked(data.conversations["train"])
    # by group: both ways of asking what validation asks; by prompt: the two that test asks, in another case and spacing
    assert not any(question.rstrip("?").split()[-1] in held_out for question in trained)
    assert not {"What is 28?", "What is 29?"} & set(trained) and "28?" in trained
    assert data.report.left_out == {"whose group or prompt is held out in another source": 10} and len(data.train) == 50
    text = data.report.describe()
    assert "left out: 10 rows whose group or prompt is held out in another source" in text
    assert f"test: 12 rows in 12 groups of {config.test_source}" in text


def test_the_test_rows_alone_may_be_of_another_source(config, chatml):
    data = load_data(replace(config, validation_source=None), chatml)
    assert data.report.held_out == {"test": config.test_source}
    groups = [{row.group for row in part} for part in (data.conversations["train"], data.conversations["validation"])]
    assert len(data.validation) == 4 and not groups[0] & groups[1]
    assert not {"What is 28?", "What is 29?"} & {
        *asked(data.conversations["train"]),
        *asked(data.conversations["validation"]),
    }


def test_both_may_share_a_source(config, chatml):
    data = load_data(replace(config, validation_source=config.test_source, test_rows=8), chatml)
    both = asked(data.conversations["validation"]), asked(data.conversations["test"])
    assert len({*both[0], *both[1]}) == 12
    alone = load_data(replace(config, test_rows=8), chatml)
    assert asked(alone.conversations["test"]) == both[1]


@given(st.integers(1, 30), st.integers(0, 12), st.integers(0, 12), st.integers(0, 3))
@settings(deadline=None, max_examples=60)
def test_no_prompt_is_in_two_parts(size, validation, test, seed):
    def rows(first, count, prefix):
        said = [(Message("user", f"{n}"), Message("assistant", prefix)) for n in range(first, first + count)]
        return [Conversation(messages, f"{prefix}{n % 5}") for n, messages in enumerate(said)]

    train, others, tests = rows(0, 40, "a"), rows(0, size, "b"), rows(size // 2, size, "c")
    elsewhere = {"validation": Source("validation", others), "test": Source("test", tests)}
    try:
        sizes = SplitSizes(None, validation, test)
        parts = split([Source("train", train)], sizes, seed, elsewhere=elsewhere)
    except QweftError:
        return
    sides = [set(asked(part)) for part in (parts.train, parts.validation, parts.test)]
    assert [len(parts.validation), len(parts.test)] == [validation, test]
    assert sum(map(len, sides)) == len(set.union(*sides))
    assert len(parts.train) + parts.left_out[HELD_OUT_ELSEWHERE] == 40 and not parts.left_out[LEFT_OVER]
