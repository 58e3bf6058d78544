"""A sweep that goes on in a folder that a stranger made: nothing else of the machine is read, written or deleted."""

import json
import os
import shutil
from dataclasses import replace

import pytest
from safetensors.torch import load_file, save_file

from qweft.errors import QweftError
from qweft.sweep.config import SpaceConfig
from qweft.sweep.outcome import Outcome
from qweft.sweep.report import write
from qweft.sweep.run import _adapter_files, sweep
from qweft.sweep.space import Axis
from qweft.text import CONTROLS

AXES = (Axis("adapter", "r", values=(2, 3)),)


def test_a_pipe_in_a_trials_adapter_is_one_sentence(tmp_path):
    (tmp_path / "adapter").mkdir()
    with pytest.raises(QweftError, match="to make the trial again"):
        _adapter_files(tmp_path)
    os.mkfifo(tmp_path / "adapter" / "adapter_config.json")
    with pytest.raises(QweftError, match="no regular file"):
        _adapter_files(tmp_path)


def test_no_trial_is_made_through_a_link(config, tmp_path):
    precious = tmp_path / "elsewhere" / "adapter" / "precious"
    precious.parent.mkdir(parents=True)
    precious.write_text("mine")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "trial-000").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(QweftError, match="is a link to"):
        sweep(config, "space: {}\n", "qweft sweep test.yaml")
    assert precious.read_text() == "mine"


def test_the_page_holds_no_control_characters_of_names(tmp_path):
    found = Outcome("a", (), (), None, None, 0, "ended", "data: 'a\x1b[2J'", {"command": "qweft sweep 'b\x9b2J\u202e'"})
    text = write(found, tmp_path).read_text()
    assert not CONTROLS.search(text) and "qweft sweep 'b2J'" in text and "a[2J" in text


def test_an_adapter_that_does_not_run_is_one_sentence(config, tmp_path):
    lora = {"peft_type": "LORA", "target_modules": ["q_proj"]}
    few = replace(config, adapter=lora, space=SpaceConfig(adapter={"r": {"values": [2]}}), trials=1)
    sweep(few, "space: {}\n", "qweft sweep test.yaml")
    trial = tmp_path / "out" / "trial-000"
    (trial / "test.json").unlink()
    file = trial / "adapter" / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"alora_invocation_tokens": "x"}))
    with pytest.raises(QweftError, match="does not run with this adapter"):
        sweep(few, "space: {}\n", "qweft sweep test.yaml")


def test_trials_on_other_weights_of_the_same_folder_are_told(config, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(config.model.name, folder)
    one = replace(config, model=replace(config.model, name=str(folder)), trials=1)
    sweep(one, "space: {}\n", "qweft sweep test.yaml")
    weights = load_file(folder / "model.safetensors")
    save_file({key: 1.5 * each for key, each in weights.items()}, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(QweftError, match=r"on other weights of the base model, .* remove that folder"):
        sweep(one, "space: {}\n", "qweft sweep test.yaml")
