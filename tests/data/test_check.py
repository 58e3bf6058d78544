"""A look at data before training."""

import json

import pytest

from qweft.cli.main import main
from qweft.data import check, load
from qweft.data.check import Overlap, check_data, lengths_of, overlap, stretches
from qweft.data.config import DataConfig
from qweft.data.conversation import TEXT, Conversation, Message
from qweft.data.load import load_data
from qweft.data.tokens import tokenise
from tests.tiny_folder import save_tiny_model
from tests.tiny_models import tiny_gpt2


@pytest.fixture
def source(tmp_path):
    def write(rows):
        path = tmp_path / "rows.jsonl"
        path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), encoding="utf-8")
        return str(path)

    return write


def config(source, **changes):
    return DataConfig(**{"source": source, "validation_rows": 2, "test_rows": 2, "max_length": 64} | changes)


ROWS = [{"question": f"How many is {number}?", "answer": f"It is {number}."} for number in range(20)]


def test_formats_lengths_and_what_would_be_cut(source, chatml):
    long = {"messages": [{"role": "user", "content": "hello " * 80}, {"role": "assistant", "content": "hi"}] * 2}
    found = check_data(config(source([*ROWS, long])), chatml, "tiny")
    assert found.formats == {"question [+ context] + answer": 20, "messages (role, content)": 1}
    assert found.turns == {1: 20, 2: 1} and found.rows == 21
    assert found.longer == 1 and found.lost == 1 and found.held_out == {"validation": 2, "test": 2}
    assert found.lengths["most"] > 64 > found.lengths["median"] and found.learned["least"] > 2
    assert "train: 16 rows" in found.split and len(found.shown) == 3
    dropped = check_data(config(source([*ROWS, long]), overlong="drop"), chatml, "tiny")
    assert dropped.longer == 1 and "longer than 64 tokens" in dropped.split


@pytest.mark.parametrize("learn", ["answers", "all"])
def test_each_row_is_tokenised_once(source, chatml, monkeypatch, learn):
    """And the split that is told is the one that a run would make."""
    data = config(source(ROWS), learn=learn)
    wanted, times = load_data(data, chatml), 0

    def counted(*args):
        nonlocal times
        times += 1
        return tokenise(*args)

    for module in (check, load):
        monkeypatch.setattr(module, "tokenise", counted)
    found = check_data(data, chatml, "tiny")
    assert times == found.rows and found.split == wanted.report.describe()


def test_rows_that_the_model_has_no_positions_for_are_refused(source, tmp_path, capsys):
    model = ["--model.name", save_tiny_model(tmp_path / "model", tiny_gpt2)]
    rows = source([{"question": f"Q {n}?", "answer": "word " * 80} for n in range(40)])
    for command in (["data", "check", rows], ["train", "--data.source", rows, "--output", str(tmp_path / "out")]):
        assert main([*command, *model]) == 2
        assert "tokens, and the model has positions for 64; set data.max_length to 64" in capsys.readouterr().err


def test_rows_are_shown_with_what_is_learned(chatml, talk):
    row = tokenise(talk("äöü 你好?", "How many 😀 are there?", "hello", "hi 你"), chatml)
    found = stretches(row, chatml)
    assert "".join(stretch.text for stretch in found) == chatml.decode(row["input_ids"])
    assert [stretch.text for stretch in found if stretch.is_learned] == [
        "How many 😀 are there?<|im_end|>",
        "hi 你<|im_end|>",
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"validation_rows": 10, "test_rows": 10},
        {"test_rows": 2, "max_length": 4},
        {"validation_rows": -1},
        {"validation_source": "none.jsonl"},
        {"columns": {"question": "Q"}},
        {"columns": {"prom": "question"}},
        {"train_rows": 0},
        {"max_rows": 16},
    ],
)
def test_what_training_would_refuse_is_refused_in_the_same_words(source, tmp_path, capsys, changes):
    """A data check that ends well means that the data of a run are well, whichever of both is started."""
    model = ["--model.name", save_tiny_model(tmp_path / "model"), "--data.max_length", "64"]
    words = [
        f"--data.{key}={json.dumps(value) if isinstance(value, dict) else value}" for key, value in changes.items()
    ]
    rows = source(ROWS)
    capsys.readouterr()
    assert main(["data", "check", rows, *model, *words]) == 2
    checked = capsys.readouterr().err
    assert main(["train", "--data.source", rows, *model, *words, "--output", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == checked.splitlines()[-1]


def test_what_training_and_held_out_rows_share(chatml, talk):
    long = "How many apples are there? There are 12 apples. hello how are you hi there"
    train = [talk("a", "b"), talk("what", long)]
    held_out = [talk(" A ", "c"), talk("d", "B"), talk("why", f"well {long}"), talk("new", "words")]
    found = overlap(train, held_out, chatml)
    assert (found.rows, found.prompts, found.answers, found.stretches) == (4, 1, 1, 1)
    assert overlap(train, held_out[3:], chatml) == Overlap(1, 0, 0, 0)
    text = Conversation((Message(TEXT, long),), "g")
    assert overlap([text], [text], chatml) == overlap([text], [text], chatml)
    assert overlap([text], [text], chatml).answers == 1 and overlap([text], [text], chatml).prompts == 0


def test_lengths_of_one_row_and_of_many():
    assert [*lengths_of([7]).values()] == [7] * 6
    assert [*lengths_of(range(1, 102)).values()] == [1, 26, 51, 76, 91, 101]


def test_the_command(source, tmp_path, capsys):
    model = ["--model.name", save_tiny_model(tmp_path / "model"), "--data.max_length", "48"]
    assert main(["data", "check", source(ROWS * 8), *model, "--data.test_rows", "4"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "160 rows of question [+ context] + answer" in out and "⟦It is" in out and "tokens of a row" in out
    assert "no test rows" not in out
    assert main(["data", "check", source(ROWS), *model, "--data.test_rows", "0"]) == 0
    assert "no test rows: training judges on them; raise data.test_rows" in " ".join(capsys.readouterr().out.split())
    (tmp_path / "book.txt").write_text("It was a dark night, and they sat by the fire.\n\n" * 3000)
    assert main(["data", "check", str(tmp_path / "book.txt"), *model, "--data.test_rows", "4", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["formats"] == {"text": pytest.approx(19, abs=2)} and found["longer"] == 0 and found["rows"] > 100
    assert found["overlaps"]["test"]["answers"] > 0
    assert main(["data", "list"]) == 0
    out = capsys.readouterr().out
    assert "CPsyCounD" in out and "embedded:chitchat" in out
    assert main(["data", "list", "--json"]) == 0
    assert "GSM8K" in [each["name"] for each in json.loads(capsys.readouterr().out)]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["chekc", "a"], "there is no chekc; did you mean check?"),
        (["check"], "the data to look at are missing"),
        (["check", "a.csv", "--data.source", "b.csv"], "gives data a second time"),
        (["list", "a"], "expected nothing after it"),
        (["check", "none.jsonl"], "there is no such file or folder"),
    ],
)
def test_what_is_wrong_is_one_sentence(words, sentence, capsys):
    assert main(["data", *words]) == 2
    assert sentence in capsys.readouterr().err
