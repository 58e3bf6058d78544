"""The winner's folder, also where a stranger filled the run's folder or the winner's."""

import os
import shutil

import pytest

from qweft.comparison.recommendation import Recommendation, keep_winner
from qweft.errors import QweftError

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
    assert keep_winner(output, FOUND) == output / "winner/adapter"
    names = sorted(path.name for path in (output / "winner/adapter").iterdir())
    assert names == ["adapter_config.json", "adapter_model.safetensors"]
    assert (output / "winner/run.json").read_text() == "{}"
    before = (output / "winner").stat().st_ino
    keep_winner(output, FOUND)
    assert (output / "winner").stat().st_ino == before


def test_another_adapter_under_the_same_record_is_replaced(output):
    keep_winner(output, FOUND)
    (output / "winner/adapter/adapter_model.safetensors").write_text("another")
    keep_winner(output, FOUND)
    assert (output / "winner/adapter/adapter_model.safetensors").read_text() == "adapter_model.safetensors"


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
    with pytest.raises(QweftError, match=r"is a link or no file, and is not copied; remove .*lora-0 to make the run"):
        keep_winner(output, FOUND)
    assert not (output / "winner").exists()


def _dangling(winner, there):
    winner.symlink_to(winner.parent / "nowhere")


def _linked(winner, there):
    winner.symlink_to(there)


def _piped(winner, there):
    os.mkfifo(winner)


@pytest.mark.parametrize("change", [_dangling, _linked, _piped])
def test_what_stands_in_the_winners_place_is_replaced(output, tmp_path, change):
    there = tmp_path / "there"
    (there / "adapter").mkdir(parents=True)
    (there / "run.json").write_text("{}")
    change(output / "winner", there)
    assert keep_winner(output, FOUND) == output / "winner/adapter"
    assert not (output / "winner").is_symlink() and (output / "winner/adapter/adapter_config.json").is_file()
    assert list((there / "adapter").iterdir()) == []
