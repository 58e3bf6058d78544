"""The winner's folder, also where a stranger filled the run's folder or the winner's."""

import shlex
from dataclasses import replace

import pytest
import yaml

from qweft.cli.main import main
from qweft.comparison.report.decision import Recommendation
from qweft.comparison.winner import commands_for, keep_winner
from qweft.core.files import write_json
from qweft.training.config import RunConfig
from qweft.training.run import train
from tests.comparison.comparison_examples import comparison, run

FOUND = Recommendation("lora", 0, "Use lora.")
FULL = {"training": {"max_steps": 4, "epochs": 3.0, "learning_rate": 0.01}, "output": "x"}


def add_run(output, method, weights):
    folder = output / f"{method}-0" / "adapter"
    folder.mkdir(parents=True)
    record = {"format": 1, "fingerprint": method, "run": run(method).to_json(), "config": FULL}
    write_json(folder.parent / "run.json", record)
    for name, text in (("adapter_config.json", "{}"), ("adapter_model.safetensors", weights)):
        (folder / name).write_text(text)


@pytest.fixture
def output(tmp_path):
    add_run(tmp_path / "out", "lora", "lora's")
    add_run(tmp_path / "out", "qtha", "qtha's")
    return tmp_path / "out"


def test_the_adapter_its_record_and_a_config_for_the_whole_training_are_kept(output):
    assert keep_winner(output, FOUND, print) == output / "winner/adapter"
    names = sorted(path.name for path in (output / "winner/adapter").iterdir())
    assert names == ["adapter_config.json", "adapter_model.safetensors"]
    full = yaml.safe_load((output / "winner/train.yaml").read_text())
    assert full["training"]["max_steps"] is None and full["training"]["learning_rate"] == 0.01
    assert full["training"]["found_in_steps"] == 4
    keep_winner(output, replace(FOUND, method="qtha"), print)  # takes the place of an unchanged one
    assert (output / "winner/adapter/adapter_model.safetensors").read_text() == "qtha's"


def test_train_from_a_comparison_takes_the_winner_s_config(tmp_path, places, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs/my/winner").mkdir(parents=True)
    config = {"model": {"name": str(places[0]), "device": "cpu"}, "adapter": {"preset": "mpo", "r": 2}}
    config["data"] = {"source": str(places[1]), "train_rows": 8, "validation_rows": 4, "test_rows": 4}
    (tmp_path / "runs/my/winner/train.yaml").write_text(yaml.safe_dump({**config, "output": "runs/my/trained"}))
    assert main(["train", "--from", "runs/my", "--training.max_steps", "1"]) == 0
    assert (tmp_path / "runs/my/trained/adapter/adapter_model.safetensors").is_file()
    for words in (["--from", "runs/other"], ["--from", "runs/my", "a.yaml"], ["--from"]):
        assert main(["train", *words]) == 2
        assert "qweft" in (said := capsys.readouterr().err) and said.count("\n") == 1


@pytest.mark.parametrize("name", ["adapter/README.md", "Modelfile"])
def test_what_a_user_made_of_the_winner_stays(output, capsys, name):
    keep_winner(output, FOUND, print)
    (output / "winner" / name).write_text("the user's")
    assert keep_winner(output, replace(FOUND, method="qtha"), print) == output / "qtha-0/adapter"
    assert (output / "winner" / name).read_text() == "the user's" and "stays as it is" in capsys.readouterr().out


TARGETS = {"target_modules": ["q_proj", "v_proj"]}
EXPORTS = {"merged-gguf": "for llama.cpp", "merged": "for vLLM"}


@pytest.mark.parametrize(
    ("adapter", "has_exports"),
    [
        ({"peft_type": "LORA", "r": 2, "use_dora": True, **TARGETS}, True),
        ({"preset": "qtha", "r": 2, "width": 8, **TARGETS}, True),
        ({"peft_type": "PROMPT_TUNING", "num_virtual_tokens": 2}, False),
    ],
)
def test_each_command_that_is_named_for_the_winner_runs(places, tmp_path, capsys, adapter, has_exports):
    """An adapter that has no export is told apart before a command is named."""
    config = comparison(places, tmp_path, model={"device": "cpu"})
    found = train(RunConfig(config.model, config.data, adapter, config.training, output=str(tmp_path / "the winner")))
    place = shlex.quote(str(found.adapter_folder))
    lines = commands_for(found.adapter_folder)
    assert lines[:2] == [f"talk with it: qweft chat {place}", f"serve it: qweft serve {place}"]
    assert lines[2:] == [f"{reader}: qweft export {place} --to {to}" for to, reader in EXPORTS.items() if has_exports]
    capsys.readouterr()
    for line in lines[2:]:
        words = shlex.split(line.partition(": qweft ")[2])
        assert main(words) == 0, capsys.readouterr().err
