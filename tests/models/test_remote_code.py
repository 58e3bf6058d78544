"""Nothing that a base model's folder holds is run, unless the command line says so."""

import io
import json
import shutil
import sys

import pytest
from peft import LoraConfig, get_peft_model
from transformers import dynamic_module_utils

from qweft.cli.main import COMMANDS, main
from qweft.models.config import ModelConfig, allow_remote_code, remote_code_allowed
from qweft.models.load import load_model
from tests.hostile import save_marking_model
from tests.tiny_folder import save_rows, save_tiny_model

SMALL = "{preset: qtha, r: 2, width: 8, bond_dimension: 2, target_modules: [q_proj]}"
COMPARED = f"methods: {{qtha: {{adapter: {SMALL}, learning_rate: 1e-3}}}}\nreference: qtha\n"
ON_MODEL = ["--model.name", "model", "--data.source", "rows.jsonl"]
SIZES = ["--data.validation_rows", "4", "--data.test_rows", "4", "--data.max_length", "48"]
WORDS = {
    "plan": [*ON_MODEL, *SIZES, "--adapter", SMALL],
    "train": [*ON_MODEL, *SIZES, "--adapter", SMALL, "--output", "out"],
    "compare": ["compared.yaml", *ON_MODEL, *SIZES, "--output", "out"],
    "evaluate": ["adapter", *ON_MODEL, *SIZES],
    "serve": ["adapter", "--model.name", "model", "--port", "0"],
}
"""The words after each command that loads the base model."""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A model with code of its own, the marker of that code, rows and a saved LoRA, in the working directory."""
    monkeypatch.setattr(dynamic_module_utils, "HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.setattr(sys, "path", [*sys.path])
    save_tiny_model(tmp_path / "plain")
    plain = load_model(ModelConfig(str(tmp_path / "plain"))).model
    get_peft_model(plain, LoraConfig(target_modules=["q_proj", "v_proj"])).save_pretrained(tmp_path / "adapter")
    save_rows(tmp_path / "rows.jsonl")
    save_marking_model(tmp_path / "model", tmp_path / "marker")
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    allow_remote_code(False)


@pytest.mark.parametrize("command", WORDS)
def test_no_command_runs_it_or_asks(command, folder, monkeypatch, capsys):
    if command == "serve":
        for package in ("fastapi", "uvicorn", "openai"):
            pytest.importorskip(package)
    (folder / "compared.yaml").write_text(COMPARED)
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n" * 9))
    assert main([command, *WORDS[command]]) == 2
    assert not (folder / "marker").exists()
    printed = capsys.readouterr()
    assert "holds Python code of its own" in printed.err
    assert "give --trust-remote-code" in printed.err
    assert "[y/N]" not in printed.out + printed.err
    assert "Traceback" not in printed.err


def test_the_flag_runs_it_for_that_command_alone(folder, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert main(["evaluate", *WORDS["evaluate"], "--trust-remote-code"]) == 0
    assert (folder / "marker").exists()
    shutil.rmtree(folder / "marker")
    assert main(["evaluate", *WORDS["evaluate"]]) == 2
    assert not remote_code_allowed()
    assert not (folder / "marker").exists()


def test_every_command_that_loads_a_model_has_the_flag():
    flagged = {name for name, command in COMMANDS.items() if "trust-remote-code" in command.flags}
    not_run_here = {"tune", "inspect", "chat", "ui", "circuit", "data", "export", "init"}
    assert flagged == {*WORDS, *not_run_here}


@pytest.mark.parametrize("text", ["model: {name: m, trust_remote_code: true}", "trust_remote_code: true"])
def test_no_config_file_gives_the_permission(text, folder, capsys):
    (folder / "config.yaml").write_text(text)
    assert main(["train", "config.yaml"]) == 2
    assert "no file can let code run" in capsys.readouterr().err
    assert not remote_code_allowed()


def test_no_record_gives_the_permission(folder, capsys):
    config = {"model": {"name": "model", "trust_remote_code": True}, "data": {"source": "rows.jsonl"}}
    (folder / "run.json").write_text(json.dumps({"format": 1, "config": config}))
    assert main(["evaluate", "adapter"]) == 2
    assert "no file can let code run" in capsys.readouterr().err
    assert not (folder / "marker").exists()
