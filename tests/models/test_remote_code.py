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

TARGETS = ["q_proj", "v_proj"]
SMALL = "{preset: qtha, r: 2, width: 8, bond_dimension: 2, target_modules: [q_proj]}"
COMPARED = f"methods: {{qtha: {{adapter: {SMALL}, learning_rate: 1e-3}}}}\nreference: qtha\n"


@pytest.fixture
def places(tmp_path, monkeypatch):
    """A model with code of its own, the marker of that code, rows and a saved LoRA."""
    monkeypatch.setattr(dynamic_module_utils, "HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.setattr(sys, "path", [*sys.path])
    save_tiny_model(tmp_path / "plain")
    adapted = get_peft_model(load_model(ModelConfig(str(tmp_path / "plain"))).model, LoraConfig(target_modules=TARGETS))
    adapted.save_pretrained(tmp_path / "adapter")
    save_rows(tmp_path / "rows.jsonl")
    save_marking_model(tmp_path / "model", tmp_path / "marker")
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    allow_remote_code(False)


ON_ADAPTER = ["--model.name", "model", "--data.source", "rows.jsonl"]
SIZES = ["--data.validation_rows", "4", "--data.test_rows", "4", "--data.max_length", "48"]
WORDS = {
    "plan": [*ON_ADAPTER, *SIZES, "--adapter", SMALL],
    "train": [*ON_ADAPTER, *SIZES, "--adapter", SMALL, "--output", "out"],
    "compare": ["compared.yaml", *ON_ADAPTER, *SIZES, "--output", "out"],
    "evaluate": ["adapter", *ON_ADAPTER, *SIZES],
    "serve": ["adapter", "--model.name", "model", "--port", "0"],
}


@pytest.mark.parametrize("command", WORDS)
def test_no_command_runs_it_or_asks(command, places, monkeypatch, capsys):
    for name in ("fastapi", "uvicorn", "openai") if command == "serve" else ():
        pytest.importorskip(name)
    (places / "compared.yaml").write_text(COMPARED)
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n" * 9))
    assert main([command, *WORDS[command]]) == 2
    said = capsys.readouterr()
    assert not (places / "marker").exists()
    assert "holds Python code of its own" in said.err and "give --trust-remote-code" in said.err
    assert "[y/N]" not in said.out + said.err and "Traceback" not in said.err


def test_the_flag_runs_it_for_that_command_alone(places, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert main(["evaluate", *WORDS["evaluate"], "--trust-remote-code"]) == 0
    assert (places / "marker").exists()
    shutil.rmtree(places / "marker")
    assert main(["evaluate", *WORDS["evaluate"]]) == 2
    assert not remote_code_allowed() and not (places / "marker").exists()


def test_every_command_that_loads_a_model_has_the_flag():
    having = {name for name, command in COMMANDS.items() if "trust-remote-code" in command.flags}
    others = {"tune", "inspect", "chat", "ui", "circuit", "data", "export", "init"}
    assert having == {*WORDS, *others}


@pytest.mark.parametrize("text", ["model: {name: m, trust_remote_code: true}", "trust_remote_code: true"])
def test_no_config_file_gives_the_permission(text, places, capsys):
    (places / "config.yaml").write_text(text)
    assert main(["train", "config.yaml"]) == 2
    assert "no file can let code run" in capsys.readouterr().err and not remote_code_allowed()


def test_no_record_gives_the_permission(places, capsys):
    config = {"model": {"name": "model", "trust_remote_code": True}, "data": {"source": "rows.jsonl"}}
    (places / "run.json").write_text(json.dumps({"format": 1, "config": config}))
    assert main(["evaluate", "adapter"]) == 2
    assert "no file can let code run" in capsys.readouterr().err and not (places / "marker").exists()
