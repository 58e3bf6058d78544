"""The best adapter of a run that validates: brought back after a kill, and looked at before it is loaded."""

import json
import shutil
from dataclasses import replace

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from tests.training.test_resume import StoppedError, config, files, stop_after, validated, weights  # noqa: F401

from qweft.data.load import load_data
from qweft.errors import QweftError
from qweft.evaluation.loss import held_out_loss
from qweft.models.load import load_model
from qweft.training.callbacks import BEST_THEN, Validation
from qweft.training.config import ValidationConfig
from qweft.training.run import train


def test_a_best_adapter_that_a_kill_left_aside_is_brought_back(files, tmp_path, monkeypatch):  # noqa: F811
    """The kill was between the two renames of a save: `.best.old` is there, and `best` is not."""
    whole = train(config(files, tmp_path / "whole", validation=ValidationConfig(every=2)))
    resumed = validated(files, tmp_path / "killed", monkeypatch)
    (tmp_path / "killed" / "best").rename(tmp_path / "killed" / ".best.old")
    found = train(resumed)
    assert found.fit.best_step == whole.fit.best_step
    assert all(torch.equal(tensor, weights(found)[name]) for name, tensor in weights(whole).items())
    assert not list((tmp_path / "killed").glob(".best*"))


@pytest.mark.parametrize("kind", ["gone", "damaged", "another's"])
def test_a_best_adapter_that_is_lost_meanwhile_costs_the_best_alone(files, tmp_path, monkeypatch, capsys, kind):  # noqa: F811
    """As by a cleaning of the folder, or a disk that is gone: the last adapter is in memory, and is saved."""
    plain = train(replace(config(files, tmp_path / "plain", every=None)))
    on_step_end = Validation.on_step_end

    def lose(self, args, state, control, **named):
        on_step_end(self, args, state, control, **named)
        file = self.folder / "adapter_model.safetensors"
        if state.global_step < state.max_steps or not file.exists():
            return
        if kind == "gone":
            shutil.rmtree(self.folder)
        elif kind == "damaged":
            file.write_bytes(file.read_bytes()[:-8])
        else:
            save_file({name: torch.ones(3) for name in load_file(file)}, file)

    monkeypatch.setattr(Validation, "on_step_end", lose)
    monkeypatch.setattr("qweft.training.callbacks.held_out_loss", rising())
    found = train(replace(config(files, tmp_path / "out", every=None), validation=ValidationConfig(every=2)))
    said = " ".join(capsys.readouterr().err.split())
    assert "warning: the best adapter, of step 2, can no longer be read (" in said
    assert "the run's adapter is the last one, of step 8" in said
    assert found.fit.best_step is None and found.adapter_folder.is_dir()
    assert all(torch.equal(tensor, weights(found)[name]) for name, tensor in weights(plain).items())


def rising():
    """A validation loss that rises, so that the first adapter is the best."""
    losses = iter(range(1, 100))
    return lambda *_: type("Loss", (), {"loss": float(next(losses))})


@pytest.mark.parametrize("kept", [True, False])
def test_a_best_adapter_of_a_step_after_the_checkpoint_is_not_taken_for_its_own(files, tmp_path, monkeypatch, kept):  # noqa: F811
    """The stop was between a better validation and the next checkpoint, and losses differ the second time."""
    training = {"max_steps": 4, "gradient_accumulation": 1, "batch_size": 2}
    made = config(files, tmp_path, every=2, training=training, validation=ValidationConfig(every=1))
    given(monkeypatch, 5.0, 4.0, 3.9, None)
    with pytest.raises(StoppedError):
        train(made)
    checkpoint, best = tmp_path / "checkpoints/step-2", tmp_path / "best/adapter_model.safetensors"
    of_step_2, of_step_3 = load_file(checkpoint / "adapter_model.safetensors"), load_file(best)
    assert any(not torch.equal(tensor, of_step_3[name]) for name, tensor in of_step_2.items())
    if not kept:  # as earlier versions wrote it
        manifest = json.loads((checkpoint / "checkpoint.json").read_text())
        del manifest["files"][BEST_THEN], manifest["extra"]["gradients"]
        (checkpoint / "checkpoint.json").write_text(json.dumps(manifest))
        (checkpoint / BEST_THEN).unlink()
    given(monkeypatch, 4.1, 5.0)
    found = train(replace(made, resume="auto"))
    assert found.fit.best_step == 2
    if kept:
        assert all(torch.equal(tensor, of_step_2[name]) for name, tensor in weights(found).items())


def given(monkeypatch, *losses):
    """These validation losses, one after another; at `None` the process ends."""
    left = iter(losses)

    def next_loss(*_):
        loss = next(left)
        if loss is None:
            raise StoppedError
        return type("Loss", (), {"loss": loss})

    monkeypatch.setattr("qweft.training.callbacks.held_out_loss", next_loss)


@pytest.mark.parametrize("kind", ["shape", "name", "more"])
def test_a_best_adapter_of_another_run_is_refused_before_the_training(files, tmp_path, monkeypatch, kind):  # noqa: F811
    resumed = validated(files, tmp_path, monkeypatch)
    file = tmp_path / "best" / "adapter_model.safetensors"
    tensors = load_file(file)
    name = next(iter(tensors))
    if kind == "shape":
        tensors[name] = torch.zeros(3)
    elif kind == "name":
        tensors["base_model.model.x"] = tensors.pop(name)
    else:
        tensors["base_model.model.model.embed_tokens.weight"] = torch.zeros(2)
    save_file(tensors, file)
    with pytest.raises(QweftError, match=r"not that of this run \(.* in the adapter that is trained .*; put it back"):
        train(resumed)
    assert (tmp_path / "checkpoints" / "step-4").is_dir()


def test_a_best_adapter_that_is_left_is_one_of_the_plain_weights(files, tmp_path, monkeypatch):  # noqa: F811
    """LoRA's start from gradients rewrites base weights, which nobody who loads the folder has."""
    start = {"peft_type": "LORA", "r": 2, "target_modules": ["q_proj", "v_proj"], "init_lora_weights": "lora_ga"}
    made = replace(config(files, tmp_path / "run", validation=ValidationConfig(every=2)), adapter=start)
    whole = train(replace(made, output=str(tmp_path / "whole")))
    with monkeypatch.context() as patch:
        stop_after(patch, 4)
        with pytest.raises(StoppedError):
            train(made)
    best = tmp_path / "run" / "best"
    manifest = json.loads((tmp_path / "run/checkpoints/step-4/checkpoint.json").read_text())
    told = manifest["extra"]["validation"]["best_loss"]
    loaded = load_model(made.model)
    rows = load_data(made.data, loaded.tokenizer).validation
    judged = held_out_loss(PeftModel.from_pretrained(loaded.model, best), rows, loaded.tokenizer.pad_token_id, 4)
    assert judged.loss == pytest.approx(told, rel=1e-5)
    found = train(replace(made, resume="auto"))
    assert all(torch.equal(tensor, weights(found)[name]) for name, tensor in weights(whole).items())
