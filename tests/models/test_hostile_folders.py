"""Folders of base models that reach out, ask for code, or fail late: each gives one sentence, and nothing is read."""

import json
import os
import shutil

import pytest
from safetensors.torch import load_file

from qweft.errors import QweftError
from qweft.models import causal
from qweft.models.causal import check_config
from qweft.models.config import ModelConfig, allow_remote_code
from qweft.models.load import load_model
from qweft.models.resolve import resolve
from tests.hostile import save_marking_pickle
from tests.tiny_folder import save_tiny_model

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"


@pytest.fixture
def folder(tmp_path):
    save_tiny_model(tmp_path / "model")
    return tmp_path / "model"


def refused(folder):
    with pytest.raises(QweftError) as caught:
        load_model(ModelConfig(str(folder), device="cpu"))
    said = str(caught.value)
    assert "\n" not in said and len(said) < 700
    return said


def change(path, **keys):
    path.write_text(json.dumps(json.loads(path.read_text()) | keys))


def index(folder, name):
    (folder / INDEX).write_text(
        json.dumps({"metadata": {}, "weight_map": dict.fromkeys(load_file(folder / WEIGHTS), name)})
    )
    (folder / WEIGHTS).rename(folder / "elsewhere.safetensors")


@pytest.mark.parametrize(
    "name", ["../other/model.safetensors", "{other}", "/dev/zero", "a/../../x", "x\0y", 5, ["a"], {}]
)
def test_an_index_names_no_file_outside_its_folder(folder, tmp_path, name):
    shutil.copytree(folder, tmp_path / "other")
    other = str(tmp_path / "other" / WEIGHTS)
    index(folder, name.replace("{other}", other) if isinstance(name, str) else name)
    assert "and weights are files of its folder" in refused(folder)


def test_an_index_names_regular_files(folder):
    index(folder, "pipe.safetensors")
    os.mkfifo(folder / "pipe.safetensors")
    assert "a pipe, a socket or a device" in refused(folder)


def test_shards_in_the_folder_and_links_to_them_are_read(folder, tmp_path):
    index(folder, "one.safetensors")  # the hub's cache keeps its files elsewhere, and links to them
    (folder / "elsewhere.safetensors").rename(tmp_path / "blob")
    (folder / "one.safetensors").symlink_to(tmp_path / "blob")
    assert load_model(ModelConfig(str(folder), device="cpu")).model.config.vocab_size


@pytest.mark.parametrize(
    "keys",
    [
        {"_attn_implementation": "owner/kernel"},
        {"attn_implementation": "paged|owner/kernel@main:name"},
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


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"num_labels": 10**9}, "num_labels is 1000000000, and a model has 0 to 1,000,000"),
        ({"num_hidden_layers": -1}, "num_hidden_layers is -1, and a model has 0 to 10,000"),
        ({"sliding_window": "x"}, "it does not run"),
        ({"transformers_weights": "a/b.safetensors.index.json"}, "and weights are files of its folder"),
        ({"transformers_weights": ["a"]}, "and weights are files of its folder"),
        ({"attribute_map": {"_attn_implementation": "a"}, "a": "owner/kernel"}, "it has an attribute_map"),
        ({"text_config": [{"attribute_map": {}}]}, "it has an attribute_map"),
    ],
)
def test_a_config_that_no_model_can_have(folder, keys, told):
    change(folder / "config.json", **keys)
    assert told in refused(folder)


@pytest.mark.parametrize("kind", ["RagTokenizer", "BertTokenizer"])
def test_a_tokenizer_of_another_kind(folder, kind):
    change(folder / "tokenizer_config.json", tokenizer_class=kind)
    assert "its tokenizer cannot be loaded" in refused(folder)


def test_a_pickle_is_refused_without_words_on_how_to_run_it(folder, tmp_path):
    (folder / WEIGHTS).unlink()
    save_marking_pickle(folder / "pytorch_model.bin", tmp_path / "marker")
    said = refused(folder)
    assert "could run code); convert it to safetensors" in said and "weights_only" not in said
    assert not (tmp_path / "marker").exists()


def test_weights_that_the_config_names_are_a_regular_file(folder):
    change(folder / "config.json", transformers_weights="pipe.safetensors")
    os.mkfifo(folder / "pipe.safetensors")
    assert "a pipe, a socket or a device" in refused(folder)
    (folder / "pipe.safetensors").unlink()
    change(folder / "config.json", transformers_weights="other.safetensors")
    (folder / WEIGHTS).rename(folder / "other.safetensors")
    (folder / WEIGHTS).symlink_to("gone")
    assert load_model(ModelConfig(str(folder), device="cpu")).model.config.vocab_size


def test_no_adapter_is_put_on_a_base_model_unasked(folder):
    config = {"peft_type": "LORA", "r": 2, "target_modules": "(([a-z._0-9]+)+)+X"}  # which takes hours on a name
    (folder / "adapter_config.json").write_text(json.dumps(config))
    assert "an adapter is beside its weights (adapter_config.json)" in refused(folder)


def test_a_kernel_has_no_other_name(folder):
    change(folder / "config.json", _attn_implementation_internal="owner/kernel")
    assert "code of the hub" in refused(folder)


@pytest.mark.parametrize(
    "keys",
    [{"attn_implementation": "flash_attention_2"}, {"text_config": {"_experts_implementation": "sonicmoe"}}],
)
def test_a_short_name_of_a_kernel_is_one_where_it_can_be_fetched(folder, monkeypatch, keys):
    change(folder / "config.json", **keys)
    monkeypatch.setattr(causal, "find_spec", lambda name: name == "kernels" or None)
    assert "code of the hub that would run" in refused(folder)
    monkeypatch.setattr(causal, "find_spec", lambda name: None)
    check_config(resolve(ModelConfig(str(folder))))
