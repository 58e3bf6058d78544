"""Golden records: what sources of every format became, row by row, when tests/golden/data.json was written.

`python -m tests.data.test_golden` writes the file anew.
"""

import hashlib
import json
import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from qweft.data.config import DataConfig, SourceConfig
from qweft.data.load import load_data
from tests.data.golden_files import ROWS, write_files
from tests.data.tiny_tokenizer import CHATML, make_tokenizer

RECORD = Path(__file__).parents[1] / "golden" / "data.json"
SHORT = {"validation_rows": 6, "test_rows": 8, "max_length": 640}
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
        "source": "pairs.jsonl",
        **SHORT,
        "validation_source": "qa.csv",
        "test_source": "metamath.jsonl",
    },
    "mixture": {
        "sources": [
            SourceConfig("pairs.jsonl", weight=2),
            SourceConfig("qa.csv", weight=1),
            SourceConfig("named.csv", rows=9, columns={"prompt": "Frage", "response": "Antwort"}),
        ],
        **SHORT,
    },
    "several": {"sources": [SourceConfig("pairs.jsonl"), SourceConfig("messages.jsonl")], **SHORT, "train_rows": 40},
}


def digest(value):
    return hashlib.sha256(json.dumps(value, ensure_ascii=False).encode()).hexdigest()[:32]


def record_part(rows, conversations):
    """Return the tokens and labels of a part, whose rows they are, and their texts."""
    membership = [[conversation.where, conversation.group, conversation.tools] for conversation in conversations]
    messages = [list(map(list, conversation.messages)) for conversation in conversations]
    return {
        "rows": len(rows),
        "tokens": digest([[row["input_ids"], row["labels"]] for row in rows]),
        "membership": digest(membership),
        "texts": digest(messages),
    }


def record_config(changes, tokenizer):
    """Return what the data of a config are."""
    data = load_data(DataConfig(**changes), tokenizer)
    report = data.report
    return {
        "train": record_part(data.train, data.conversations["train"]),
        "validation": record_part(data.validation, data.conversations["validation"]),
        "test": record_part(data.test, data.conversations["test"]),
        "rows": report.rows,
        "groups": report.groups,
        "left_over": report.left_out.get("left over from groups held out", 0),
        "unread": report.unread,
        "fingerprint": report.fingerprint,
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    files = tmp_path_factory.mktemp("golden")
    write_files(files)
    return files


@pytest.fixture(scope="module")
def record():
    return json.loads(RECORD.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", CONFIGS)
def test_tokens_labels_and_split_are_those_of_the_record(name, folder, record, chatml, monkeypatch):
    monkeypatch.chdir(folder)
    assert record_config(CONFIGS[name], chatml) == record[name]


def write_record():
    with TemporaryDirectory() as folder:
        write_files(Path(folder))
        os.chdir(folder)
        tokenizer = make_tokenizer(CHATML)
        records = {name: record_config(changes, tokenizer) for name, changes in CONFIGS.items()}
    RECORD.write_text(json.dumps(records, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write_record()
