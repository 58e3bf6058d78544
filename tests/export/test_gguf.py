"""GGUF files: read by transformers' own reader, and by llama.cpp where xllamacpp is installed."""

import importlib.util
import json
from types import SimpleNamespace

import pytest
import torch
from benchmarks.serving.engines import llama_cpp
from gguf import GGUFReader
from peft import LoraConfig, get_peft_model
from tokenizers import Regex, normalizers, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from qweft import QweftError
from qweft.exporting.gguf import (
    SPLIT,
    check_convertible,
    pre_tokenizer,
    read_adapter,
    reordered,
    write_adapter,
    write_model,
)
from qweft.exporting.lora import lora_config, plain_lora
from qweft.exporting.merging import merged, with_lora
from tests.data.tiny_tokenizer import CHATML, make_tokenizer

TEXTS = [
    "How many apples are there? 12 apples, 3,450 pears.",
    "  zwei  Leerzeichen\n\nund äöü 你好 😀",
    "x = f(a_b) # 7",
]
NEEDS_LLAMA_CPP = pytest.mark.skipif(importlib.util.find_spec("xllamacpp") is None, reason="needs xllamacpp")
SIZES = {
    "hidden_size": 32, "intermediate_size": 44, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 64, "initializer_range": 0.3,
}  # fmt: skip
LLAMA3 = {
    "rope_type": "llama3", "rope_theta": 100.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}  # fmt: skip
KINDS = {
    "llama": (LlamaForCausalLM, LlamaConfig, {}),
    "llama, tied": (LlamaForCausalLM, LlamaConfig, {"tie_word_embeddings": True}),
    "llama, wide heads": (LlamaForCausalLM, LlamaConfig, {"head_dim": 12}),
    "llama, biases": (LlamaForCausalLM, LlamaConfig, {"attention_bias": True}),
    "llama 3": (LlamaForCausalLM, LlamaConfig, {"rope_parameters": LLAMA3}),
    "qwen2": (Qwen2ForCausalLM, Qwen2Config, {"rms_norm_eps": 1e-3}),
    "qwen2, tied": (Qwen2ForCausalLM, Qwen2Config, {"tie_word_embeddings": True, "rope_theta": 1e6}),
}


@pytest.fixture(scope="module")
def tokenizer():
    return make_tokenizer(CHATML)


def tiny(kind, tokenizer, dtype=torch.float32, more=0):
    """A model whose rotation, biases and norms all matter."""
    make, config, changes = KINDS[kind]
    torch.manual_seed(1)
    model = make(config(vocab_size=len(tokenizer) + more, **SIZES, **changes)).eval()
    model.config.dtype = dtype
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.data = parameter.to(dtype)  # the frequencies of the rotation stay float32, as in loaded models
        for name, parameter in model.named_parameters():
            if parameter.dim() == 1:
                parameter.add_(torch.randn_like(parameter) * 0.3 + (0 if name.endswith("bias") else 0.1))
    return model


def adapted(model):
    """The model with a LoRA of two ranks on four kinds of layers, and that LoRA."""
    torch.manual_seed(2)
    layers = ["q_proj", "k_proj", "v_proj", "down_proj"]
    ranks = {"r": 2, "lora_alpha": 5, "use_rslora": True, "rank_pattern": {"v_proj": 3}}
    model = get_peft_model(model, LoraConfig(**ranks, target_modules=layers, init_lora_weights=False)).eval()
    return model, plain_lora(model)


def put(base, lora):
    return with_lora(base, lora, lora_config(lora, base, LoraConfig()))


def next_logits(model, tokens):
    with torch.no_grad():
        return model(torch.tensor([tokens])).logits[0, -1].float()


@pytest.mark.parametrize(("kind", "turned"), [("llama", True), ("qwen2", False)])
def test_rows_of_rotated_heads_stand_where_llama_cpp_looks_for_them(tokenizer, kind, turned):
    config = tiny(kind, tokenizer).config
    rows = torch.arange(32.0)[:, None]
    for layer, heads in (("q_proj", 4), ("k_proj", 2)):
        stored = reordered(config, f"model.layers.0.self_attn.{layer}", rows)
        width = 32 // heads
        for row in range(32):
            head, place = divmod(row, width)
            half, pair = divmod(place, width // 2)
            assert stored[head * width + 2 * pair + half if turned else row] == row
        assert torch.equal(reordered(config, f"model.layers.0.self_attn.{layer}", stored, is_back=True), rows)
    assert torch.equal(reordered(config, "model.layers.0.self_attn.v_proj", rows), rows)


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
def test_a_lora_goes_into_a_file_and_back(tokenizer, tmp_path, kind):
    model, lora = adapted(tiny(kind, tokenizer))
    config = model.get_base_model().config
    path = tmp_path / "adapter.gguf"
    write_adapter(path, lora, config, "mine", "its/base")
    reader = GGUFReader(path)
    said = {key: field.contents() for key, field in reader.fields.items()}
    assert (said["general.type"], said["adapter.type"], said["general.architecture"]) == ("adapter", "lora", kind)
    assert said["adapter.lora.alpha"] == lora.rank == 3
    shapes = {tensor.name: list(map(int, tensor.shape)) for tensor in reader.tensors}
    assert len(shapes) == 2 * 2 * 4
    assert shapes["blk.1.attn_k.weight.lora_a"] == [32, 3] and shapes["blk.1.attn_k.weight.lora_b"] == [3, 16]
    tokens = tokenizer(TEXTS[0]).input_ids
    wanted = next_logits(model, tokens)
    base = tiny(kind, tokenizer)
    before = next_logits(base, tokens)
    base = put(base, read_adapter(path, lora, config))
    torch.testing.assert_close(next_logits(base, tokens), wanted, rtol=1e-4, atol=1e-4)
    assert (before - wanted).abs().max() > 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("llama 3", "llama, biases")])
def test_transformers_reads_the_same_model_and_tokenizer(tokenizer, tmp_path, kind, dtype):
    """Its reader is independent of the writer; it leaves out a scaled rotation, and biases of a llama's attention."""
    model = tiny(kind, tokenizer, dtype, more=3)
    write_model(tmp_path / "model.gguf", model, tokenizer, "tiny")
    again = AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file="model.gguf", dtype=dtype).eval()
    for text in TEXTS:
        tokens = tokenizer(text).input_ids
        torch.testing.assert_close(next_logits(again, tokens), next_logits(model, tokens), rtol=1e-5, atol=1e-5)
    assert again.config.max_position_embeddings == 64
    assert again.config.rope_parameters["rope_theta"] == model.config.rope_parameters["rope_theta"]
    read = AutoTokenizer.from_pretrained(tmp_path, gguf_file="model.gguf")
    messages = [{"role": "user", "content": TEXTS[1]}]
    assert [read(text).input_ids for text in TEXTS] == [tokenizer(text).input_ids for text in TEXTS]
    assert read.apply_chat_template(messages, tokenize=False) == tokenizer.apply_chat_template(messages, tokenize=False)
    assert read.eos_token == "<|im_end|>"


def by_llama_cpp(model, lora=None, tokens=(), texts=TEXTS):
    """What llama.cpp computes: log-probabilities of the 20 most likely next tokens, and the tokens of texts."""
    job = {"model": str(model), "lora": lora and str(lora), "prefixes": tokens, "top": 20, "texts": texts}
    return llama_cpp({**job, "prompts": [], "new_tokens": 1, "chats": []})


@NEEDS_LLAMA_CPP
@pytest.mark.parametrize("kind", KINDS)
def test_llama_cpp_computes_what_transformers_does(tokenizer, tmp_path, kind):
    model = tiny(kind, tokenizer)
    write_model(tmp_path / "base.gguf", model, tokenizer, "tiny")
    model, lora = adapted(model)
    write_adapter(tmp_path / "adapter.gguf", lora, model.get_base_model().config, "mine", "its/base")
    whole = merged(put(tiny(kind, tokenizer), lora))
    write_model(tmp_path / "merged.gguf", whole, tokenizer, "tiny")
    asked = [tokenizer(text).input_ids for text in TEXTS]
    base = tiny(kind, tokenizer)
    for one, files in ((base, ["base"]), (model, ["base", "adapter"]), (whole, ["merged"])):
        served = by_llama_cpp(*(tmp_path / f"{name}.gguf" for name in files), tokens=asked)
        assert served["tokens"] == asked
        for tokens, found in zip(asked, served["log_probabilities"], strict=True):
            wanted = next_logits(one, tokens).log_softmax(-1)
            assert len(found) == 20 and max(found, key=found.get) == wanted.argmax()
            assert max(abs(wanted[token].item() - value) for token, value in found.items()) < 2e-3


def with_pre_tokenizer(steps, normalizer=None):
    made = make_tokenizer(CHATML)
    made.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps) if len(steps) > 1 else steps[0]
    if normalizer is not None:
        made.backend_tokenizer.normalizer = normalizer
    return made


def split(numbers):
    return pre_tokenizers.Split(Regex(SPLIT.replace("NUMBERS", numbers)), behavior="isolated")


def byte_level(**changes):
    return pre_tokenizers.ByteLevel(**{"add_prefix_space": False, **changes})


def test_how_a_tokenizer_splits_text_is_recognised():
    assert pre_tokenizer(with_pre_tokenizer([byte_level()])) == "gpt-2"
    assert pre_tokenizer(with_pre_tokenizer([pre_tokenizers.Digits(True), byte_level()])) == "smollm"
    assert pre_tokenizer(with_pre_tokenizer([split(""), byte_level(use_regex=False)], normalizers.NFC())) == "qwen2"
    for steps in (
        [pre_tokenizers.Digits(False), byte_level()],
        [byte_level(add_prefix_space=True)],
        [split(""), byte_level()],
        [split("{1,3}"), byte_level(use_regex=False)],  # as Llama 3's, which takes whole words that are tokens
        [pre_tokenizers.Whitespace()],
    ):
        with pytest.raises(QweftError, match="splits text in another way"):
            pre_tokenizer(with_pre_tokenizer(steps))
    with pytest.raises(QweftError, match="no byte-level BPE"):
        pre_tokenizer(with_pre_tokenizer([byte_level()], normalizers.Lowercase()))
    with pytest.raises(QweftError, match="no byte-level BPE"):
        pre_tokenizer(None)


def test_llama_3s_tokenizer_is_recognised():
    made = with_pre_tokenizer([split("{1,3}"), byte_level(use_regex=False)])
    told = json.loads(made.backend_tokenizer.to_str())
    told["model"]["ignore_merges"] = True
    backend = SimpleNamespace(to_str=lambda: json.dumps(told))
    assert pre_tokenizer(SimpleNamespace(backend_tokenizer=backend)) == "llama-bpe"


@NEEDS_LLAMA_CPP
@pytest.mark.parametrize(
    "steps", [[pre_tokenizers.Digits(True), byte_level()], [split(""), byte_level(use_regex=False)]]
)
def test_llama_cpp_splits_text_so(tmp_path, steps):
    made = with_pre_tokenizer(steps)
    write_model(tmp_path / "model.gguf", tiny("llama", made), made, "tiny")
    texts = (*TEXTS, "<|im_start|>user\nthere are 12<|im_end|>\n")
    assert by_llama_cpp(tmp_path / "model.gguf", texts=texts)["tokens"] == [made(text).input_ids for text in texts]


@pytest.mark.parametrize(
    ("kind", "changes", "key"),
    [
        ("llama", {"hidden_act": "gelu"}, "hidden_act"),
        ("qwen2", {"rope_parameters": {**LLAMA3}}, "rope_type"),
        ("llama", {"rope_parameters": {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}}, "rope_type"),
        ("qwen2", {"use_sliding_window": True}, "use_sliding_window"),
    ],
)
def test_what_llama_cpp_would_compute_otherwise_is_refused(tokenizer, kind, changes, key):
    make, config, _ = KINDS[kind]
    model = make(config(vocab_size=len(tokenizer), **SIZES, **changes))
    with pytest.raises(QweftError, match=key):
        check_convertible(model, tokenizer)


def test_other_architectures_and_vocabularies_are_refused(tokenizer, tmp_path):
    mistral = MistralForCausalLM(MistralConfig(vocab_size=len(tokenizer), **SIZES))
    with pytest.raises(QweftError, match="'mistral'"):
        check_convertible(mistral, tokenizer)
    with pytest.raises(QweftError, match="315 tokens"):
        write_model(tmp_path / "model.gguf", tiny("llama", tokenizer, more=-2), tokenizer, "tiny")
    assert not any(tmp_path.iterdir())
