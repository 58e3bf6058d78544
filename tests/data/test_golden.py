"""Golden records: what sources of every format became, row by row, when tests/golden/data.json was written.

`python -m tests.data.test_golden` writes the file anew.
"""

import hashlib
import json
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow
import pytest
from pyarrow import parquet

from qweft.data.config import DataConfig, SourceConfig
from qweft.data.load import load_data
from tests.data.tiny_tokenizer import CHATML, make_tokenizer

RECORD = Path(__file__).parents[1] / "golden" / "data.json"
WORDS = ["river", "stone", "lamp", "seven", "green", "window", "honest", "bread", "orange", "winter"]


def words(seed, count):
    return " ".join(WORDS[(seed * 7 + place * place + 3 * place) % 10] for place in range(count))


def turns(n, answers=1):
    said = [{"role": "system", "content": "Be brief."}] if n % 3 == 0 else []
    for place in range(answers):
        said.append({"role": "user", "content": f"{words(n + place, 5)} {n}?"})
        said.append({"role": "assistant", "content": words(n + 3 * place, 4 + n % 7)})
    return said


TOOLS = [{"type": "function", "function": {"name": "weather", "description": "Tells it.", "parameters": {}}}]


def called(n):
    arguments = {"city": WORDS[n % 10], "days": n}
    call = {"id": f"c{n}", "type": "function", "function": {"name": "weather", "arguments": json.dumps(arguments)}}
    return [
        {"role": "user", "content": f"How is it on {n}?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": f"c{n}", "content": words(n, 3)},
        {"role": "assistant", "content": f"It is {words(n, 2)}."},
    ]


def shared(n):
    said = [{"from": "human", "value": f"{words(n, 4)} {n}?"}, {"from": "gpt", "value": words(n, 6)}]
    call = {"from": "function_call", "value": json.dumps({"name": "weather", "arguments": {"n": n}})}
    return said if n % 4 else [said[0], call, {"from": "observation", "value": "cold"}, said[1]]


ROWS = {
    "messages.jsonl": [{"messages": turns(n, 1 + n % 3), "topic": "x"} for n in range(60)],
    "tools.jsonl": [{"messages": called(n), "tools": TOOLS} for n in range(40)],
    "thoughts.jsonl": [
        {"messages": [*turns(n)[:-1], {**turns(n)[-1], "reasoning_content": words(n, 3)}]} for n in range(40)
    ],
    "sharegpt.json": [
        {"conversations": shared(n), "system": "Be kind.", "tools": json.dumps(TOOLS)} for n in range(50)
    ],
    "alpaca.json": [
        {"instruction": words(n, 6), "input": words(n, 2) if n % 2 else "", "output": f"{words(n, 5)} {n}",
         "history": [[f"hi {n}", "hello"]] if n % 5 == 0 else []}
        for n in range(60)
    ],
    "distilled.jsonl": [
        {"input": f"{words(n, 4)} {n}", "reasoning_content": words(n, 4) if n % 3 else "", "content": words(n, 3)}
        for n in range(40)
    ],
    "qa.csv": [{"question": f"{words(n, 5)}, {n}?", "answer": n / 8, "context": words(n, 3)} for n in range(60)],
    "named.csv": [{"Frage": f'Was ist "{n}"?', "Antwort": f"Größe {n},\n{words(n, 3)}"} for n in range(50)],
    "prompts.parquet": [{"prompt": turns(n)[:-1], "completion": turns(n)[-1:], "id": n} for n in range(50)],
    "calls.parquet": [{"messages": called(n) if n % 2 else turns(n), "price": n / 10} for n in range(40)],
    "pairs.jsonl": [{"prompt": f"{words(n, 4)} {n // 2}?", "response": words(n, 5)} for n in range(60)],
    "metamath.jsonl": [
        {"query": f"{words(n, 4)} {n}?", "response": f"{words(n, 3)} {n}", "original_question": f"Say {n // 3}"}
        for n in range(60)
    ],
    "solutions.jsonl": [
        {"problem": f"{words(n, 4)} {n}", "solution": words(n, 30), "group": n // 4} for n in range(60)
    ],
    "texts.jsonl": [{"text": f"{words(n, 40 + n)} {n}", "label": n % 3} for n in range(50)],
}  # fmt: skip
TEXTS = {f"chapter{n}.md": "\n\n".join(words(n + m // 2, 60) for m in range(80)) for n in range(4)}
SHORT = {"validation_rows": 6, "test_rows": 8, "max_length": 640}


def write(folder):
    for name, rows in ROWS.items():
        path = folder / name
        if name.endswith(".jsonl"):
            path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
        elif name.endswith(".json"):
            path.write_text(json.dumps({"data": rows} if name == "alpaca.json" else rows), encoding="utf-8")
        elif name.endswith(".csv"):
            quoted = [",".join('"' + str(each).replace('"', '""') + '"' for each in row.values()) for row in rows]
            path.write_text("\n".join([",".join(rows[0]), *quoted]) + "\n", encoding="utf-8-sig")
        else:
            parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    for part in ("texts", "parts"):
        (folder / part).mkdir()
    for name, text in TEXTS.items():
        (folder / "texts" / name).write_text(text, encoding="utf-8")
    (folder / "book.txt").write_text("\n\n".join(TEXTS.values()), encoding="utf-8")
    for name in ("pairs.jsonl", "qa.csv"):
        (folder / "parts" / name).write_bytes((folder / name).read_bytes())
    bad = [row | ({"answer": ""} if n % 9 == 4 else {}) for n, row in enumerate(ROWS["qa.csv"])]
    (folder / "bad.jsonl").write_text("\n".join(map(json.dumps, bad)) + '\n{"question": \n', encoding="utf-8")


CONFIGS = {
    "gsm_symbolic": {"source": "embedded:gsm_symbolic", "max_length": 512, "train_rows": 200},
    "chitchat": {"source": "embedded:chitchat", "train_rows": 64, "validation_rows": 16, "test_rows": 32},
    "chitchat, first rows": {"source": "embedded:chitchat", "max_rows": 300, "max_length": 128},
    "reasoning_gym": {"source": "embedded:reasoning_gym:chain_sum", "train_rows": 100, "split_seed": 3},
    **{name: {"source": name, **SHORT} for name in ROWS if name not in ("named.csv", "metamath.jsonl")},
    "named.csv": {"source": "named.csv", **SHORT, "columns": {"prompt": "Frage", "response": "Antwort"}},
    "MetaMathQA": {"source": "metamath.jsonl", **SHORT},
    "book.txt": {"source": "book.txt", **SHORT, "max_length": 200},
    "texts": {"source": "texts", **SHORT, "max_length": 400, "validation_rows": 2, "test_rows": 3},
    "parts": {"source": "parts", **SHORT, "split_seed": 5},
    "default sizes": {"source": "messages.jsonl", "max_length": 300},
    "cut": {"source": "solutions.jsonl", **SHORT, "max_length": 120},
    "drop": {"source": "alpaca.json", **SHORT, "max_length": 110, "overlong": "drop"},
    "max_characters": {"source": "messages.jsonl", **SHORT, "max_characters": 120},
    "template": {"source": "qa.csv", **SHORT, "template": "Q: {query}\nA:"},
    "learn all": {"source": "pairs.jsonl", **SHORT, "learn": "all"},
    "bad rows": {"source": "bad.jsonl", **SHORT, "skip_bad_rows": True},
    "held out elsewhere": {
        "source": "pairs.jsonl", **SHORT, "validation_source": "qa.csv", "test_source": "metamath.jsonl",
    },
    "mixture": {
        "sources": [SourceConfig("pairs.jsonl", weight=2), SourceConfig("qa.csv", weight=1),
                    SourceConfig("named.csv", rows=9, columns={"prompt": "Frage", "response": "Antwort"})],
        **SHORT,
    },
    "several": {"sources": [SourceConfig("pairs.jsonl"), SourceConfig("messages.jsonl")], **SHORT, "train_rows": 40},
}  # fmt: skip


def digest(value):
    return hashlib.sha256(json.dumps(value, ensure_ascii=False).encode()).hexdigest()[:32]


def record_of(changes, tokenizer):
    """Return what a config's data are: rows, tokens and labels of each part, and whose rows they are."""
    data = load_data(DataConfig(**changes), tokenizer)
    parts = {
        "train": (data.train, data.conversations["train"]),
        "validation": (data.validation, data.conversations["validation"]),
        "test": (data.test, data.conversations["test"]),
    }
    record = {
        name: {
            "rows": len(rows),
            "tokens": digest([[row["input_ids"], row["labels"]] for row in rows]),
            "membership": digest([[one.where, one.group, one.tools] for one in said]),
            "texts": digest([[[turn.role, turn.content, turn.more] for turn in one.messages] for one in said]),
        }
        for name, (rows, said) in parts.items()
    }
    report = data.report
    counts = {
        "rows": report.rows,
        "groups": report.groups,
        "left_over": report.left_out.get("left over from groups held out", 0),
        "unread": report.unread,
    }
    return record | counts | {"fingerprint": report.fingerprint}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("golden")
    write(made)
    return made


@pytest.mark.parametrize("name", CONFIGS)
def test_tokens_labels_and_split_are_those_of_the_record(name, folder, chatml, monkeypatch):
    monkeypatch.chdir(folder)
    assert record_of(CONFIGS[name], chatml) == json.loads(RECORD.read_text(encoding="utf-8"))[name]


if __name__ == "__main__":
    import os

    with TemporaryDirectory() as made:
        write(Path(made))
        os.chdir(made)
        records = {name: record_of(config, make_tokenizer(CHATML)) for name, config in CONFIGS.items()}
    RECORD.write_text(json.dumps(records, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
