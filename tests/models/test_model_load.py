import pytest
import torch
from tokenizers import Tokenizer, models
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from qweft.core.errors import QweftError
from qweft.models.checksum import checksum
from qweft.models.config import ModelConfig
from qweft.models.device import choose_device, choose_dtype
from qweft.models.load import load_model
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


def test_the_type_auto_is_float32_on_the_cpu_and_bfloat16_where_a_gpu_has_it(monkeypatch):
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    for supported, expected in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda supported=supported, **_: supported)
        assert choose_dtype("auto", cuda) == expected
        assert choose_dtype("auto", cpu) == torch.float32


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("gpu", "device gpu: unknown; use auto, cpu, cuda"),
        ("cuda:99", "torch sees 0 CUDA devices"),
        ("mps", "torch sees 0 MPS devices"),
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


@pytest.mark.parametrize("config", ["Int8WeightOnlyConfig", "Float8WeightOnlyConfig"])
def test_the_checksum_tells_weights_of_torchao_apart(config):
    quantization = pytest.importorskip("torchao.quantization")
    first, again, other = (tiny_llama() for _ in range(3))
    with torch.no_grad():
        other.model.layers[0].self_attn.q_proj.weight.mul_(2)
    for model in (first, again, other):
        quantization.quantize_(model, getattr(quantization, config)())
    assert checksum(first) == checksum(again) != checksum(other)
