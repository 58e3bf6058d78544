"""A sweep that goes on in a folder that a stranger made: nothing else of the machine is read, written or deleted."""

import shutil
from dataclasses import replace

import pytest
from safetensors.torch import load_file, save_file

from qweft.errors import QweftError
from qweft.sweep.run import sweep


def test_no_trial_is_made_through_a_link(config, tmp_path):
    precious = tmp_path / "elsewhere" / "adapter" / "precious"
    precious.parent.mkdir(parents=True)
    precious.write_text("mine")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "trial-000").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(QweftError, match="is a link to"):
        sweep(config, "space: {}\n", "qweft sweep test.yaml")
    assert precious.read_text() == "mine"


def test_trials_on_other_weights_of_the_same_folder_are_told(config, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(config.model.name, folder)
    one = replace(config, model=replace(config.model, name=str(folder)), trials=1)
    sweep(one, "space: {}\n", "qweft sweep test.yaml")
    weights = load_file(folder / "model.safetensors")
    save_file({key: 1.5 * each for key, each in weights.items()}, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(QweftError, match=r"on other weights of the base model, .* remove that folder"):
        sweep(one, "space: {}\n", "qweft sweep test.yaml")
