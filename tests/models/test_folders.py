"""Folders of base models that ask for code, or fail late: each gives one sentence."""

import json

import pytest

from qweft.core.errors import QweftError
from qweft.models.config import ModelConfig, allow_remote_code
from qweft.models.load import load_model
from qweft.models.resolve import resolve
from qweft.models.saved_config import check_config
from tests.hostile import save_marking_pickle
from tests.tiny_folder import save_tiny_model

WEIGHTS = "model.safetensors"


@pytest.fixture
def folder(tmp_path):
    save_tiny_model(tmp_path / "model")
    return tmp_path / "model"


def refused(folder):
    with pytest.raises(QweftError) as caught:
        load_model(ModelConfig(str(folder), device="cpu"))
    return str(caught.value)


def change(path, **keys):
    path.write_text(json.dumps(json.loads(path.read_text()) | keys))


@pytest.mark.parametrize(
    "keys",
    [
        {"_attn_implementation": "owner/kernel"},
        {"text_config": {"_attn_implementation": {"": "sdpa", "vision_config": "owner/kernel"}}},
        {"_experts_implementation": "owner/kernel"},
    ],
)
def test_a_config_chooses_no_code_of_the_hub(folder, keys):
    change(folder / "config.json", **keys)
    assert "code of the hub that would run" in refused(folder) and "--trust-remote-code" in refused(folder)
    allow_remote_code()
    try:
        check_config(resolve(ModelConfig(str(folder))))
    finally:
        allow_remote_code(False)


def test_a_pickle_is_refused_without_words_on_how_to_run_it(folder, tmp_path):
    (folder / WEIGHTS).unlink()
    save_marking_pickle(folder / "pytorch_model.bin", tmp_path / "marker")
    said = refused(folder)
    assert "could run code); convert it to safetensors" in said and "weights_only" not in said
    assert not (tmp_path / "marker").exists()


def test_no_adapter_is_put_on_a_base_model_unasked(folder):
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 2}))
    assert "an adapter is beside its weights" in refused(folder)
