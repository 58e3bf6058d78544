"""GGUF files, for llama.cpp: a LoRA, and a whole model with its sizes, vocabulary and weights."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from gguf import (
    MODEL_ARCH,
    GGMLQuantizationType,
    GGUFReader,
    GGUFType,
    GGUFWriter,
    Keys,
    LlamaFileType,
    SpecialVocab,
    TokenType,
)
from gguf.tensor_mapping import TensorNameMap, get_tensor_name_map

from qweft.core.errors import QweftError
from qweft.core.text import short_repr
from qweft.exporting.config import GGUF_WAY, check_gguf_type
from qweft.exporting.lora import Lora


def names_of(config: Any) -> TensorNameMap:
    """Return GGUF's names of a model's tensors, by its architecture, whose name is that of transformers."""
    return get_tensor_name_map(MODEL_ARCH[config.model_type.upper()], config.num_hidden_layers)


def reordered(config: Any, layer: str, tensor: torch.Tensor, is_back: bool = False) -> torch.Tensor:
    """Return (d_out, ...) in GGUF's order: its llama rotates 2i with 2i + 1 of a head, transformers i with i + d/2."""
    last = layer.rpartition(".")[2]
    if config.model_type != "llama" or last not in ("q_proj", "k_proj"):
        return tensor
    heads = config.num_attention_heads if last == "q_proj" else config.num_key_value_heads
    return tensor.unflatten(0, (heads, -1, 2) if is_back else (heads, 2, -1)).transpose(1, 2).flatten(0, 2)


@contextmanager
def writing(path: Path, config: Any, kind: str, name: str) -> Iterator[GGUFWriter]:
    """Yield a writer of a file of a kind in `GGUFType`, which is written at the end of the block."""
    writer = GGUFWriter(path, config.model_type)
    writer.add_type(kind)
    writer.add_name(name)
    yield writer
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def add_tensor(writer: GGUFWriter, name: str, tensor: torch.Tensor) -> None:
    """Add a tensor in its own type; numpy has no bfloat16."""
    tensor = tensor.detach().cpu().contiguous()
    if tensor.dtype == torch.bfloat16:
        writer.add_tensor(name, tensor.view(torch.uint8).numpy(), raw_dtype=GGMLQuantizationType.BF16)
    else:
        writer.add_tensor(name, tensor.numpy())


def write_adapter(path: Path, lora: Lora, config: Any, name: str, base: str) -> None:
    """Write a LoRA for llama.cpp, which scales B A by alpha over the rank: both are equal, as B has the scaling."""
    names = _names_of(lora, config)
    with writing(path, config, GGUFType.ADAPTER, name) as writer:
        writer.add_base_model_count(1)
        writer.add_base_model_name(0, base)
        writer.add_string(Keys.Adapter.TYPE, "lora")
        writer.add_float32(Keys.Adapter.LORA_ALPHA, float(lora.rank))
        for layer, stored in names.items():
            add_tensor(writer, f"{stored}.lora_a", lora.down[layer].float())
            add_tensor(writer, f"{stored}.lora_b", reordered(config, layer, lora.up[layer].float()))


def read_adapter(path: Path, lora: Lora, config: Any) -> Lora:
    """Return the LoRA in a GGUF file, which `write_adapter` wrote of another, with the same names of layers."""
    reader, names = GGUFReader(path), _names_of(lora, config)
    found = {tensor.name: torch.from_numpy(tensor.data.copy()) for tensor in reader.tensors}
    down = {layer: found[f"{stored}.lora_a"] for layer, stored in names.items()}
    up = {layer: reordered(config, layer, found[f"{stored}.lora_b"], is_back=True) for layer, stored in names.items()}
    return Lora(round(reader.fields[Keys.Adapter.LORA_ALPHA].contents()), down, up, {})


def _names_of(lora: Lora, config: Any) -> dict[str, str]:
    """Return GGUF's name of each layer's weight, "blk.0.attn_q.weight"."""
    names, found = names_of(config), dict[str, str]()
    for layer in lora.down:
        name = names.get_name(f"{layer}.weight", (".weight",))
        if name is None:
            raise QweftError(f"layer {layer}: GGUF has no such tensor in a {config.model_type}; give --to lora")
        found[layer] = name
    return found


SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}NUMBERS| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
"""How the tokenizers of Qwen2 and Llama 3 split text; they differ in how many digits stay together."""
BYTES = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}
WORDS = {"type": "Split", "behavior": "Isolated", "invert": False}
PRE_TOKENIZERS = {
    "gpt-2": [{**BYTES, "use_regex": True}],
    "smollm": [{"type": "Digits", "individual_digits": True}, {**BYTES, "use_regex": True}],
    "qwen2": [{**WORDS, "pattern": {"Regex": SPLIT.replace("NUMBERS", "")}}, BYTES],
    "llama-bpe": [{**WORDS, "pattern": {"Regex": SPLIT.replace("NUMBERS", "{1,3}")}}, BYTES],
}
"""Steps of pre-tokenizers in a tokenizer.json, by llama.cpp's name of each."""
FILE_TYPES = {
    torch.float32: LlamaFileType.ALL_F32,
    torch.float16: LlamaFileType.MOSTLY_F16,
    torch.bfloat16: LlamaFileType.MOSTLY_BF16,
}


def check_convertible(model: Any, tokenizer: Any) -> None:
    """Check that `write_model` can convert a model and its tokenizer."""
    config = model.config
    check_gguf_type(config.model_type)
    rope = config.rope_parameters.get("rope_type", "default")
    written = ("default", "linear", "llama3") if config.model_type == "llama" else ("default",)
    known = {
        "hidden_act": config.hidden_act == "silu",
        "rope_type": rope in written,
        "use_sliding_window": not getattr(config, "use_sliding_window", False),
    }
    for name, is_known in known.items():
        if not is_known:
            value = short_repr(getattr(config, name, rope))
            raise QweftError(f"llama.cpp does not compute {name} {value} in a {config.model_type} model; {GGUF_WAY}")
    pre_tokenizer(tokenizer)


def write_model(path: Path, model: Any, tokenizer: Any, name: str) -> None:
    """Write a model that `check_convertible` passes, in the type of its weights; vectors are float32, as wanted."""
    config, names = model.config, names_of(model.config)
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    with writing(path, config, GGUFType.MODEL, name) as writer:
        writer.add_file_type(FILE_TYPES[model.dtype])
        writer.add_vocab_size(config.vocab_size)
        writer.add_context_length(config.max_position_embeddings)
        writer.add_embedding_length(config.hidden_size)
        writer.add_block_count(config.num_hidden_layers)
        writer.add_feed_forward_length(config.intermediate_size)
        writer.add_head_count(config.num_attention_heads)
        writer.add_head_count_kv(config.num_key_value_heads)
        writer.add_key_length(width)
        writer.add_value_length(width)
        writer.add_rope_dimension_count(width)
        writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
        writer.add_layer_norm_rms_eps(config.rms_norm_eps)
        _add_vocabulary(writer, tokenizer, config.vocab_size)
        for key, tensor in model.named_parameters():  # a tied output embedding comes once, as its input embedding
            stored: Any = names.get_name(key, (".weight", ".bias"))
            made = reordered(config, key.rpartition(".")[0], tensor.detach())
            add_tensor(writer, stored, made.float() if made.dim() < 2 else made)
        factors = _rope_factors(model)
        if factors is not None:
            add_tensor(writer, "rope_freqs.weight", factors)


def _rope_factors(model: Any) -> torch.Tensor | None:
    """Return by what llama.cpp divides the frequencies theta^(-2i/d) of the rotation; `None` without scaling."""
    if model.config.rope_parameters.get("rope_type", "default") == "default":
        return None
    scaled = model.model.rotary_emb.inv_freq.float().cpu()
    exponents = torch.arange(len(scaled), dtype=torch.float32) / len(scaled)
    return model.config.rope_parameters["rope_theta"] ** -exponents / scaled


def pre_tokenizer(tokenizer: Any) -> str:
    """Return llama.cpp's name for how a tokenizer splits text before it merges bytes."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    contents = json.loads(backend.to_str()) if backend is not None else {}
    model, normalizer = contents.get("model") or {}, contents.get("normalizer")
    if model.get("type") != "BPE" or model.get("byte_fallback") or (normalizer and normalizer.get("type") != "NFC"):
        raise QweftError(f"the tokenizer is no byte-level BPE, and no other is written to GGUF; {GGUF_WAY}")
    found = contents.get("pre_tokenizer") or {}
    steps = [{**step} for step in found.get("pretokenizers", [found])]
    for step in steps:
        step.pop("trim_offsets", None)  # of no matter for the tokens
    name = next((name for name, known in PRE_TOKENIZERS.items() if known == steps), None)
    # with this one alone llama.cpp takes a whole word that is a token as that token
    if name is None or (name == "llama-bpe") != bool(model.get("ignore_merges")):
        raise QweftError(
            f"the tokenizer splits text in another way than {', '.join(PRE_TOKENIZERS)} of llama.cpp; {GGUF_WAY}"
        )
    return name


def _add_vocabulary(writer: GGUFWriter, tokenizer: Any, size: int) -> None:
    """Add tokens, merges, special tokens and the chat template."""
    tokens = {number: token for token, number in tokenizer.get_vocab().items()}
    if max(tokens) >= size:
        raise QweftError(
            f"the tokenizer has {max(tokens) + 1:,} tokens, and the model embeddings for {size:,}; {GGUF_WAY}"
        )
    added = tokenizer.added_tokens_decoder
    types = [
        TokenType.UNUSED if number not in tokens
        else TokenType.NORMAL if number not in added
        else TokenType.CONTROL if added[number].special
        else TokenType.USER_DEFINED
        for number in range(size)
    ]  # fmt: skip
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre_tokenizer(tokenizer))
    writer.add_token_list([tokens.get(number, f"[PAD{number}]") for number in range(size)])
    writer.add_token_types(types)
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        special = SpecialVocab(folder, load_merges=True, n_vocab=size)
    read = tokenizer("a").input_ids
    special.add_special_token |= {
        "bos": tokenizer.bos_token_id is not None and read[0] == tokenizer.bos_token_id,
        "eos": tokenizer.eos_token_id is not None and read[-1] == tokenizer.eos_token_id,
    }
    special.add_to_gguf(writer, quiet=True)
