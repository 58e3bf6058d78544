"""Rows and files of data that are malformed: one sentence comes of each, or rows that are what they say."""

import csv
import io
import json
import math

import pyarrow
from pyarrow import parquet

from qweft.data.config import DataConfig
from qweft.data.conversation import ROLES, TEXT
from qweft.data.formats import to_conversation
from qweft.data.load import load_data
from tests.data.test_read import read_rows
from tests.malformed.cases import cases, outcome
from tests.malformed.mutations import mutated, mutated_bytes

TURNS = [{"role": "system", "content": "s"}, {"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
FUNCTION = {"name": "weather", "arguments": {"city": "Oslo", "days": [1, 2]}}
CALL = {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "type": "function", "function": FUNCTION}]}
RESULT = {"role": "tool", "tool_call_id": "1", "content": "cold"}
TOOLS = [{"type": "function", "function": {"name": "weather", "description": "Tells it.", "parameters": {}}}]
SHAREGPT = [
    {"from": "human", "value": "q"}, {"from": "function_call", "value": json.dumps(FUNCTION)},
    {"from": "observation", "value": "cold"}, {"from": "gpt", "value": "a"},
]  # fmt: skip
ROWS = [
    {"messages": TURNS},
    {"messages": [*TURNS[1:], *TURNS[1:]], "group": "g"},
    {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a", "reasoning_content": "r"}]},
    {"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}], "system": "s"},
    {"prompt": "q", "completion": "a"},
    {"prompt": TURNS[:2], "completion": TURNS[2:]},
    {"prompt": "q", "response": "a"},
    {"instruction": "q", "input": "i", "output": "a", "history": [["q", "a"], ["q", "a"]]},
    {"input": "q", "reasoning_content": "r", "content": "a"},
    {"question": "q", "answer": "a"},
    {"question": "q", "answer": 4},
    {"query": "q", "response": "a", "original_question": "o"},
    {"problem": "q", "reannotated_assistant_content": "a", "solution": "b"},
    {"text": "Once upon a time."},
    {"messages": [*TURNS[:2], CALL, RESULT, TURNS[2]], "tools": TOOLS},
    {"conversations": SHAREGPT, "tools": json.dumps(TOOLS)},
    {"messages": [{"role": "user", "content": [{"type": "text", "text": "q"}]}, TURNS[2]]},
]
FLAT = [{"question": f"What follows {n}?", "answer": f"{n + 1}, of course"} for n in range(9)]
NESTED = [
    {"messages": [{"role": "user", "content": f"{n}?"}, {"role": "assistant", "content": str(n)}]} for n in range(9)
]

NAMES = ("prompt", "response", "messages", "system", "group", "text", "question", "a.b", "", "Prompt")


def check_conversation(found, row):
    """See that something can be learned of a row, and that all of it is text."""
    assert found.messages, row
    for message in found.messages:
        assert message.role in (*ROLES, TEXT), row
        assert isinstance(message.content, str) and "\x00" not in message.said, row
        message.said.encode()
        assert message.turn["role"] == message.role, row
    assert json.loads(found.tools or "[]") is not None, row
    assert isinstance(found.group, str), row
    assert found.answer.strip(), row
    assert found.answer not in ("nan", "inf", "-inf") or repr(found.answer) in repr(row), row  # a word, no number
    if not found.is_text:
        assert found.messages[-1].role == "assistant" and found.messages[0].role != "assistant", row
        assert all(message.said.strip() for message in found.messages if message.role == "assistant"), row


def test_valid_rows_are_read():
    for row in ROWS:
        check_conversation(to_conversation(row, "here"), row)


def test_mutated_rows():
    for number, draw in cases("rows"):
        row = mutated(draw.choice(ROWS), draw)
        if isinstance(row, dict):  # what else a file may hold is told before
            found = outcome(f"row {number}: {row!r:.2000}", to_conversation, row, "here")
            if found is not None:
                check_conversation(found, row)


def written(rows, ending):
    """The bytes of a file; what its format cannot hold is told by an exception of the writer."""
    if ending == ".jsonl":
        return "\n".join(json.dumps(row) for row in rows).encode()
    if ending == ".json":
        return json.dumps({"data": rows}).encode()
    if ending in (".csv", ".tsv"):
        text = io.StringIO()
        writer = csv.DictWriter(
            text,
            delimiter="," if ending == ".csv" else "\t",
            fieldnames=list(dict.fromkeys(key for row in rows for key in row)),
        )
        writer.writeheader()
        writer.writerows(rows)
        return text.getvalue().encode()
    if ending == ".parquet":
        file = io.BytesIO()
        parquet.write_table(pyarrow.Table.from_pylist(rows), file)
        return file.getvalue()
    return "\n\n".join(str(row) for row in rows).encode()


def test_mutated_files(tmp_path, chatml):
    for number, draw in cases("files"):
        ending = draw.choice((".jsonl", ".json", ".csv", ".parquet", ".txt", ".tsv", ".md"))
        rows = draw.choice((FLAT, FLAT, NESTED)) if ending not in (".csv", ".tsv") else FLAT
        try:
            content = written(mutated(rows, draw) if draw.random() < 0.5 else rows, ending)
        except (TypeError, ValueError, AttributeError, UnicodeError, OverflowError, csv.Error, pyarrow.ArrowException):
            content = written(rows, ending)  # this format cannot hold that
        if draw.random() < 0.7:
            content = mutated_bytes(content, draw)
        if draw.random() < 0.05:
            content = content.decode("latin-1").encode(draw.choice(("utf-16", "utf-16-le", "utf-32", "utf-8-sig")))
        path = tmp_path / f"case{ending}"
        path.write_bytes(content)
        what = f"file {number}{ending}: {content[:1500]!r}"
        read = outcome(what, lambda path=path: list(read_rows(str(path))))
        for where, row in read or ():
            found = outcome(f"{what}\n{row!r:.1000}", to_conversation, row, where)
            if found is not None:
                check_conversation(found, row)
        if number % 4 == 0:
            columns = {
                draw.choice(NAMES): draw.choice((*NAMES, "answer", "question")) for _ in range(draw.randrange(3))
            }
            config = DataConfig(
                source=str(path), validation_rows=draw.choice((None, 2)), test_rows=2, max_length=64,
                columns=draw.choice(({}, columns)), skip_bad_rows=draw.random() < 0.5,
            )  # fmt: skip
            check_loaded(f"{what}\n{config}", config, chatml)


def check_loaded(what, config, tokenizer):
    """See that what a run would train on has learned tokens in every row."""
    data = outcome(what, load_data, config, tokenizer)
    for row in data.train if data else ():
        assert any(label != -100 for label in row["labels"][1:]), what
        assert all(isinstance(token, int) and math.isfinite(token) for token in row["input_ids"]), what
