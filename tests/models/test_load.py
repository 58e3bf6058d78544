"""Loading of a folder, and what is wrong with one, each in one sentence."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from qweft.core.errors import QweftError
from qweft.models.config import ModelConfig
from qweft.models.load import load_model
from tests.hostile import save_marking_pickle

SIZES = {"vocab_size": 11, "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
WEIGHTS = "model.safetensors"


@pytest.fixture
def folder(tmp_path):
    """A tiny model, whose tokenizer has no pad token."""
    LlamaForCausalLM(LlamaConfig(**SIZES)).save_pretrained(tmp_path / "model")
    tokenizer = Tokenizer(models.WordLevel({"<end>": 0, "a": 1}, unk_token="<end>"))
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>")
    fast.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def load(folder, device="cpu"):
    return load_model(ModelConfig(name=str(folder), device=device))


def refusal(folder):
    """The sentence with which a folder is refused."""
    with pytest.raises(QweftError) as fault:
        load(folder)
    return str(fault.value)


def test_a_folder_loads_in_evaluation_mode(folder):
    loaded = load(folder)
    assert not loaded.model.training
    assert loaded.dtype == next(loaded.model.parameters()).dtype == torch.float32
    assert loaded.model(torch.tensor([[1, 1]])).logits.shape == (1, 2, 11)


def test_a_folder_without_a_pad_token_pads_with_its_end_token(folder):
    loaded = load(folder)
    assert loaded.tokenizer.pad_token == loaded.tokenizer.eos_token == "<end>"
    assert loaded.tokenizer.padding_side == "right"
    assert loaded.model.config.pad_token_id == loaded.model.generation_config.pad_token_id == 0


@pytest.fixture
def config_alone(tmp_path):
    """A folder with a config and nothing else."""
    LlamaConfig(**SIZES).save_pretrained(tmp_path / "config")
    return tmp_path / "config"


def test_the_meta_device_needs_a_config_alone(config_alone):
    loaded = load(config_alone, device="meta")
    assert {parameter.device.type for parameter in loaded.model.parameters()} == {"meta"}
    assert loaded.tokenizer is None


def test_a_folder_without_weights_is_refused(config_alone):
    message = refusal(config_alone)
    assert "a config.json and no weights" in message
    assert "or use device meta" in message


def test_a_missing_weight_is_an_error_not_a_random_initialisation(folder):
    weights = load_file(folder / WEIGHTS)
    del weights["model.layers.0.mlp.up_proj.weight"]
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})
    assert "1 weights are missing (model.layers.0.mlp.up_proj.weight" in refusal(folder)


def test_a_pickle_is_refused_without_words_on_how_to_run_it(folder, tmp_path):
    (folder / WEIGHTS).unlink()
    save_marking_pickle(folder / "pytorch_model.bin", tmp_path / "marker")
    message = refusal(folder)
    assert "could run code); convert it to safetensors" in message
    assert "weights_only" not in message
    assert not (tmp_path / "marker").exists()


def test_no_adapter_is_put_on_a_base_model_unasked(folder):
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 2}))
    assert "an adapter is beside its weights" in refusal(folder)
