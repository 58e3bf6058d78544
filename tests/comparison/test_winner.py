"""The winner's folder, also where a stranger filled the run's folder or the winner's."""

import os
import shlex
import shutil
from dataclasses import replace

import pytest

from qweft.cli.main import main
from qweft.comparison.decision import Recommendation
from qweft.comparison.winner import commands_for, keep_winner
from qweft.data.config import DataConfig
from qweft.errors import QweftError
from qweft.models.config import ModelConfig
from qweft.models.load import load_model
from qweft.training.config import RunConfig, TrainingConfig
from qweft.training.run import train

FOUND = Recommendation("lora", 0, "Use lora.")


@pytest.fixture
def output(tmp_path):
    folder = tmp_path / "out"
    (folder / "lora-0/adapter").mkdir(parents=True)
    (folder / "lora-0/run.json").write_text("{}")
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (folder / "lora-0/adapter" / name).write_text(name)
    return folder


def test_the_adapter_and_its_record_are_copied(output):
    assert keep_winner(output, FOUND, print) == output / "winner/adapter"
    names = sorted(path.name for path in (output / "winner/adapter").iterdir())
    assert names == ["adapter_config.json", "adapter_model.safetensors"]
    assert (output / "winner/run.json").read_text() == "{}"
    before = (output / "winner").stat().st_ino
    keep_winner(output, FOUND, print)
    assert (output / "winner").stat().st_ino == before


@pytest.mark.parametrize("name", ["adapter/adapter_model.safetensors", "adapter/README.md", "adapter/Modelfile"])
def test_what_the_user_changed_in_the_winner_is_set_aside(output, capsys, name):
    """Weights that were trained further, a card that was written for the hub, a file beside it."""
    (output / "lora-0/adapter/README.md").write_text("made card")
    keep_winner(output, FOUND, print)
    (output / "winner" / name).write_text("the user's")
    keep_winner(output, FOUND, print)
    assert (output / "winner/adapter/adapter_model.safetensors").read_text() == "adapter_model.safetensors"
    assert (output / "winner/adapter/README.md").read_text() == "made card"
    assert (output / "earlier/winner-1" / name).read_text() == "the user's"
    assert "with what was changed in it or made of it, is now" in capsys.readouterr().out


def test_another_winner_takes_the_place_of_an_untouched_one(output, capsys):
    shutil.copytree(output / "lora-0", output / "qtha-0")
    (output / "qtha-0/adapter/adapter_model.safetensors").write_text("qtha's")
    keep_winner(output, FOUND, print)
    keep_winner(output, replace(FOUND, method="qtha"), print)
    assert (output / "winner/adapter/adapter_model.safetensors").read_text() == "qtha's"
    assert not (output / "earlier").exists() and capsys.readouterr().out == ""


def test_what_was_made_of_an_earlier_winner_is_not_lost(output, capsys):
    """An export of it would else be deleted, or seem to be of the new one."""
    keep_winner(output, FOUND, print)
    (output / "winner/merged-gguf").mkdir()
    (output / "winner/merged-gguf/model.gguf").write_text("lora's")
    (output / "lora-0/run.json").write_text('{"inspection": 1}')
    keep_winner(output, FOUND, print)  # the same adapter with a longer record
    assert (output / "winner/run.json").read_text() == '{"inspection": 1}'
    assert (output / "winner/merged-gguf/model.gguf").read_text() == "lora's" and capsys.readouterr().out == ""
    (output / "lora-0/adapter/adapter_model.safetensors").write_text("trained again")
    keep_winner(output, FOUND, print)
    assert (output / "earlier/winner-1/merged-gguf/model.gguf").read_text() == "lora's"
    assert (output / "earlier/winner-1/adapter/adapter_model.safetensors").read_text() == "adapter_model.safetensors"
    assert sorted(path.name for path in (output / "winner").iterdir()) == ["adapter", "run.json"]
    assert (output / "winner/adapter/adapter_model.safetensors").read_text() == "trained again"
    assert (
        capsys.readouterr().out
        == f"the earlier winner, with what was changed in it or made of it, is now {output / 'earlier' / 'winner-1'}\n"
    )


def test_hidden_files_and_folders_beside_an_adapter_are_left_out(output):
    (output / "lora-0/adapter/.ipynb_checkpoints").mkdir()
    (output / "lora-0/adapter/.DS_Store").write_text("")
    kept = keep_winner(output, FOUND, print)
    assert kept is not None and not [path for path in kept.iterdir() if path.name.startswith(".")]
    before = (output / "winner").stat().st_ino
    assert keep_winner(output, FOUND, print) == kept and (output / "winner").stat().st_ino == before


def _link_file(output, secret):
    (output / "lora-0/adapter/README.md").symlink_to(secret / "id_rsa")


def _link_folder(output, secret):
    shutil.rmtree(output / "lora-0/adapter")
    (output / "lora-0/adapter").symlink_to(secret)


def _pipe(output, secret):
    os.mkfifo(output / "lora-0/adapter/pipe")


def _device(output, secret):
    (output / "lora-0/adapter/big").symlink_to("/dev/zero")


@pytest.mark.parametrize("change", [_link_file, _link_folder, _pipe, _device])
def test_nothing_but_the_runs_own_files_is_copied(output, tmp_path, change):
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "id_rsa").write_text("a key")
    change(output, secret)
    with pytest.raises(QweftError, match=r"is a link or no file, and is not copied; move it away"):
        keep_winner(output, FOUND, print)
    assert not (output / "winner").exists()


def _dangling(winner, there):
    winner.symlink_to(winner.parent / "nowhere")


def _linked(winner, there):
    winner.symlink_to(there)


def _piped(winner, there):
    os.mkfifo(winner)


def _written(winner, there):
    winner.write_text("the user's own notes")


def _filled(winner, there):
    winner.mkdir()
    (winner / "notes").touch()


@pytest.mark.parametrize("change", [_dangling, _linked, _piped, _written, _filled])
def test_what_stands_in_the_winners_place_is_set_aside(output, tmp_path, capsys, change):
    there = tmp_path / "there"
    (there / "adapter").mkdir(parents=True)
    (there / "run.json").write_text("{}")
    change(output / "winner", there)
    assert keep_winner(output, FOUND, print) == output / "winner/adapter"
    assert not (output / "winner").is_symlink() and (output / "winner/adapter/adapter_config.json").is_file()
    assert list((there / "adapter").iterdir()) == []
    aside = output / "earlier/winner-1"
    assert os.path.lexists(aside) and (change is not _written or aside.read_text() == "the user's own notes")
    assert capsys.readouterr().out == f"{output / 'winner'}, which no comparison made, is now {aside}\n"


TARGETS = ["q_proj", "v_proj"]
READERS = {"merged-gguf": "for llama.cpp", "merged": "for vLLM"}


@pytest.mark.parametrize(
    ("adapter", "quantization", "exports"),
    [
        ({"peft_type": "LORA", "r": 2, "target_modules": TARGETS}, None, ["merged-gguf", "merged"]),
        ({"preset": "qtha", "r": 2, "width": 8, "target_modules": TARGETS}, None, ["merged-gguf", "merged"]),
        ({"peft_type": "LORA", "r": 2, "target_modules": TARGETS}, "4bit", ["merged-gguf", "merged"]),
        ({"peft_type": "LORA", "r": 2, "use_dora": True, "target_modules": TARGETS}, None, []),
        ({"peft_type": "IA3", "target_modules": ["k_proj"], "feedforward_modules": []}, None, []),
    ],
)
def test_each_command_that_is_named_for_the_winner_runs(places, tmp_path, capsys, adapter, quantization, exports):
    """An adapter that has no export, and weights that were rounded, are told apart before a command is named."""
    if quantization:
        pytest.importorskip("bitsandbytes")
    model = ModelConfig(name=places[0], device="cpu", dtype="float32", quantization=quantization)
    data = DataConfig(source=places[1], train_rows=16, validation_rows=6, test_rows=6, max_length=48)
    budget = TrainingConfig(max_steps=2, batch_size=2, gradient_accumulation=1, learning_rate=1e-2)
    found = train(RunConfig(model, data, adapter, budget, output=str(tmp_path / "the winner")))
    place = shlex.quote(str(found.adapter_folder))
    lines = commands_for(found.adapter_folder, load_model(model), quantization)
    unrounded = " --model.quantization none" if quantization else ""
    assert lines[:2] == [f"talk with it: qweft chat {place}", f"serve it: qweft serve {place}"]
    assert lines[2:] == [f"{READERS[to]}: qweft export {place} --to {to}{unrounded}" for to in exports]
    capsys.readouterr()
    for line in lines[2:]:
        words = shlex.split(line.partition(": qweft ")[2])
        assert main(words) == 0, capsys.readouterr().err


def test_of_a_model_that_was_saved_in_4_bits_no_export_is_named(places, tmp_path, monkeypatch):
    loaded = load_model(ModelConfig(name=places[0], device="cpu"))
    monkeypatch.setattr(loaded.model.config, "quantization_config", {"load_in_4bit": True}, raising=False)
    assert [line.partition(":")[0] for line in commands_for(tmp_path, loaded, None)] == ["talk with it", "serve it"]
