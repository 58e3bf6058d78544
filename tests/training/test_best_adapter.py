"""The best adapter of a run that validates: brought back after a kill, and looked at before it is loaded."""

import shutil
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.training.test_resume import config, files, validated, weights  # noqa: F401

from qweft.errors import QweftError
from qweft.training.callbacks import Validation
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
