"""Rows that an adapter was trained on are not judged as if it had not seen them."""

import json
from contextlib import suppress

import pytest

from qweft.cli.main import main
from qweft.core.errors import QweftError
from qweft.data.config import DataConfig
from qweft.evaluation.run import evaluate
from qweft.inspect.run import inspect
from qweft.models.config import ModelConfig
from qweft.training.config import RunConfig, TrainingConfig
from qweft.training.run import train
from tests.tiny_folder import save_rows, save_tiny_model

LORA = {"peft_type": "LORA", "r": 2, "target_modules": ["q_proj"]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("unseen")
    rows = save_rows(folder / "rows.jsonl", 60)
    data = DataConfig(source=rows, validation_rows=6, test_rows=8, max_length=48)
    training = TrainingConfig(max_steps=2, batch_size=2, gradient_accumulation=1)
    train(RunConfig(ModelConfig(save_tiny_model(folder / "model")), data, LORA, training, output=str(folder / "run")))
    return folder


SAID = (
    r"the adapter was trained on \d+ of the \d+ {} rows, or on others of their groups, as --data\.{}.* split its run's "
    "data in another way"
)


@pytest.mark.parametrize(("key", "value"), [("test_rows", 40), ("split_seed", 5), ("max_rows", 20)])
def test_another_split_of_the_runs_data_is_refused(folder, key, value):
    options = {"data": {key: value}, "evaluation": {"answers": 0}}
    with pytest.raises(QweftError, match=SAID.format("test", key)):
        evaluate(folder / "run/adapter", options)


def test_so_are_they_where_circuits_are_measured_and_adapters_inspected(folder, monkeypatch, capsys):
    with pytest.raises(QweftError, match=SAID.format("validation", "validation_rows")):
        inspect(folder / "run/adapter", {"data": {"validation_rows": 40}})
    monkeypatch.chdir(folder)  # the run's file is itself however its path is written
    words = ["evaluate", "run/adapter", "--data.source", "./rows.jsonl", "--data.test_rows", "40", "--device", "exact"]
    assert main([*words, "--dry-run"]) == 2
    assert "the adapter was trained on" in capsys.readouterr().err


def test_data_that_have_changed_since_are_told(folder, capsys):
    evaluate(folder / "run/adapter", {"evaluation": {"answers": 0}})
    assert "note:" not in capsys.readouterr().err
    rows = folder / "rows.jsonl"
    before = rows.read_text()
    rows.write_text("\n".join(before.splitlines()[:40]))
    for options in ({}, {"data": {"test_rows": 3}}, {"model": {"dtype": "float32"}}):
        with suppress(QweftError):  # fewer rows are split in another way
            evaluate(folder / "run/adapter", {"evaluation": {"answers": 0}, **options})
        said = capsys.readouterr().err
        assert "are not those of the run (the data, the tokenizer or qweft itself have changed" in said
    rows.write_text(before)


def test_a_strangers_record_has_no_file_read(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("QWEFT_CACHE", str(tmp_path / "another user's"))
    options = {"data": {"source": str(folder / "rows.jsonl"), "test_rows": 40}, "evaluation": {"answers": 0}}
    assert len(evaluate(folder / "run/adapter", options).base.rows) == 40


def test_the_runs_own_split_is_judged_whatever_groups_share_a_text(folder, tmp_path):
    rows = tmp_path / "rows.jsonl"
    made = [{"prompt": f"{n % 4}, and then?", "completion": "yes", "group": f"talk {n}"} for n in range(40)]
    rows.write_text("\n".join(map(json.dumps, made)))
    data = DataConfig(source=str(rows), validation_rows=6, test_rows=8, max_length=48)
    training = TrainingConfig(max_steps=2, batch_size=2, gradient_accumulation=1)
    train(RunConfig(ModelConfig(str(folder / "model")), data, LORA, training, output=str(tmp_path / "run")))
    for given in ({"source": str(rows)}, {"test_rows": 3}):
        assert evaluate(tmp_path / "run/adapter", {"data": given, "evaluation": {"answers": 0}}).base.rows
