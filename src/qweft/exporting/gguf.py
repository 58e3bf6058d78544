"""GGUF files, for llama.cpp: a LoRA, and a whole model with its sizes, vocabulary and weights."""

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from gguf import (
    MODEL_ARCH,
    MODEL_ARCH_NAMES,
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

from qweft.errors import QweftError
from qweft.exporting.config import GGUF_MODEL_TYPES, GGUF_WAY, check_gguf_type
from qweft.exporting.lora import Lora
from qweft.text import shown

ARCHITECTURES = dict(zip(GGUF_MODEL_TYPES, (MODEL_ARCH.LLAMA, MODEL_ARCH.QWEN2), strict=True))
"""GGUF's architecture by the `model_type` of transformers."""
ROTATED_IN_PAIRS = {MODEL_ARCH.LLAMA: ("q_proj", "k_proj")}
"""Layers whose rows GGUF stores in another order, by architecture."""
TYPES = {torch.bfloat16: GGMLQuantizationType.BF16}
"""Types of GGUF that numpy does not have."""


@dataclass(frozen=True)
class Layout:
    """Names and orders of a model's tensors in GGUF files.

    transformers rotates coordinate i of a head together with i + d/2, and GGUF's llama 2i together with 2i + 1. So the
    rows of q and k are stored in another order there.
    """

    config: Any

    @property
    def architecture(self) -> MODEL_ARCH:
        """GGUF's architecture; an error if it is not supported."""
        check_gguf_type(self.config.model_type)
        return ARCHITECTURES[self.config.model_type]

    def names(self) -> TensorNameMap:
        """Return the names of all tensors."""
        return get_tensor_name_map(self.architecture, self.config.num_hidden_layers)

    def stored(self, name: str, tensor: torch.Tensor) -> torch.Tensor:
        """Return a tensor (d_out, ...) of a layer of transformers as GGUF stores it."""
        heads = self._heads(name)
        return tensor.unflatten(0, (heads, 2, -1)).transpose(1, 2).flatten(0, 2) if heads else tensor

    def restored(self, name: str, tensor: torch.Tensor) -> torch.Tensor:
        """Return a tensor of a GGUF file as transformers stores it; the inverse of `stored`."""
        heads = self._heads(name)
        return tensor.unflatten(0, (heads, -1, 2)).transpose(1, 2).flatten(0, 2) if heads else tensor

    def _heads(self, name: str) -> int | None:
        """Return the number of heads of a layer that is stored in another order; `None` for all others."""
        last = name.rpartition(".")[2]
        if last not in ROTATED_IN_PAIRS.get(self.architecture, ()):
            return None
        return int(self.config.num_attention_heads if last == "q_proj" else self.config.num_key_value_heads)


def opened(path: Path, layout: Layout, kind: str, name: str) -> GGUFWriter:
    """Return a writer of a new file of a kind in `GGUFType`, with the general keys."""
    writer = GGUFWriter(path, MODEL_ARCH_NAMES[layout.architecture])
    writer.add_type(kind)
    writer.add_name(name)
    return writer


def add_tensor(writer: GGUFWriter, name: str, tensor: torch.Tensor) -> None:
    """Add a tensor in its own type; the writer keeps it until `finish`."""
    tensor = tensor.detach().cpu().contiguous()
    if tensor.dtype in TYPES:
        writer.add_tensor(name, tensor.view(torch.uint8).numpy(), raw_dtype=TYPES[tensor.dtype])
    else:
        writer.add_tensor(name, tensor.numpy())


def finish(writer: GGUFWriter) -> None:
    """Write the file."""
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_adapter(path: Path, lora: Lora, config: Any, name: str, base: str) -> None:
    """Write a LoRA as a GGUF file, which llama.cpp adds to any GGUF file of the base model.

    llama.cpp scales B A by alpha over the rank; both are equal here, since B contains the scaling.
    """
    layout = Layout(config)
    writer = opened(path, layout, GGUFType.ADAPTER, name)
    writer.add_base_model_count(1)
    writer.add_base_model_name(0, base)
    writer.add_string(Keys.Adapter.TYPE, "lora")
    writer.add_float32(Keys.Adapter.LORA_ALPHA, float(lora.rank))
    for layer, stored in stored_names(layout, lora.down).items():
        add_tensor(writer, f"{stored}.lora_a", lora.down[layer].float())
        add_tensor(writer, f"{stored}.lora_b", layout.stored(layer, lora.up[layer].float()))
    finish(writer)


def read_adapter(path: Path, lora: Lora, config: Any) -> Lora:
    """Return the LoRA in a GGUF file, which `write_adapter` wrote of another, with the same names of layers."""
    layout, reader = Layout(config), GGUFReader(path)
    found = {tensor.name: torch.from_numpy(tensor.data.copy()) for tensor in reader.tensors}
    names = stored_names(layout, lora.down)
    down = {layer: found[f"{stored}.lora_a"] for layer, stored in names.items()}
    up = {layer: layout.restored(layer, found[f"{stored}.lora_b"]) for layer, stored in names.items()}
    return Lora(round(reader.fields[Keys.Adapter.LORA_ALPHA].contents()), down, up, {})


def stored_names(layout: Layout, layers: Mapping[str, Any]) -> dict[str, str]:
    """Return GGUF's name of each layer's weight, "blk.0.attn_q.weight"."""
    names = layout.names()
    found = {layer: names.get_name(f"{layer}.weight", (".weight",)) for layer in layers}
    lost = next((layer for layer, name in found.items() if name is None), None)
    if lost is not None:
        raise QweftError(
            f"layer {lost}: GGUF's {MODEL_ARCH_NAMES[layout.architecture]} has no such tensor; give --to lora"
        )
    return {layer: name for layer, name in found.items() if name is not None}


SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}NUMBERS| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
"""How the tokenizers of Qwen2 and Llama 3 split text; they differ in how many digits stay together."""
PRE_TOKENIZERS = {
    ("split",): "gpt-2",
    ("digits", "split"): "smollm",
    (SPLIT.replace("NUMBERS", ""), "bytes"): "qwen2",
    (SPLIT.replace("NUMBERS", "{1,3}"), "bytes"): "llama-bpe",
}
"""llama.cpp's name of a pre-tokenizer by its steps in a tokenizer.json; see `_steps`."""
IGNORES_MERGES = {"llama-bpe"}
"""Pre-tokenizers with which llama.cpp takes a whole word that is a token as that token."""
FILE_TYPES = {
    torch.float32: LlamaFileType.ALL_F32,
    torch.float16: LlamaFileType.MOSTLY_F16,
    torch.bfloat16: LlamaFileType.MOSTLY_BF16,
}


def check_convertible(model: Any, tokenizer: Any) -> None:
    """Check that `write_model` can convert a model and its tokenizer."""
    config = model.config
    check_gguf_type(config.model_type)
    if config.hidden_act != "silu":
        raise QweftError(
            f"llama.cpp computes silu in such a model, and its hidden_act is {config.hidden_act}; {GGUF_WAY}"
        )
    kind = config.rope_parameters.get("rope_type", "default")
    if kind not in (("default", "linear", "llama3") if config.model_type == "llama" else ("default",)):
        raise QweftError(f"rope_type {shown(kind)} of a {config.model_type} model is not written to GGUF; {GGUF_WAY}")
    if getattr(config, "use_sliding_window", False):
        raise QweftError(f"llama.cpp has no sliding window in such a model, and use_sliding_window is set; {GGUF_WAY}")
    if model.dtype not in FILE_TYPES:
        raise QweftError(f"weights of type {model.dtype} are not written to GGUF; give --model.dtype float32")
    pre_tokenizer(tokenizer)


def write_model(path: Path, model: Any, tokenizer: Any, name: str) -> None:
    """Write a model as a GGUF file in the type of its weights; vectors are float32, as llama.cpp wants them."""
    check_convertible(model, tokenizer)
    layout = Layout(model.config)
    writer = opened(path, layout, GGUFType.MODEL, name)
    writer.add_file_type(FILE_TYPES[model.dtype])
    _add_sizes(writer, model.config)
    _add_vocabulary(writer, tokenizer, model.config.vocab_size)
    names = layout.names()
    for key, tensor in model.named_parameters():  # a tied output embedding comes once, as its input embedding
        stored = names.get_name(key, (".weight", ".bias"))
        if stored is None:
            raise QweftError(f"GGUF has no tensor for {key}; {GGUF_WAY}")
        made = layout.stored(key.rpartition(".")[0], tensor.detach())
        add_tensor(writer, stored, made.float() if made.dim() < 2 else made)
    factors = _rope_factors(model)
    if factors is not None:
        add_tensor(writer, "rope_freqs.weight", factors)
    finish(writer)


def _add_sizes(writer: GGUFWriter, config: Any) -> None:
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
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


def _rope_factors(model: Any) -> torch.Tensor | None:
    """Return by what llama.cpp divides the frequencies of the rotation; `None` without scaling.

    transformers has the scaled frequencies; those without scaling are theta^(-2i/d).
    """
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
    name = PRE_TOKENIZERS.get(_steps(contents.get("pre_tokenizer") or {}))
    if name is None or (name in IGNORES_MERGES) != bool(model.get("ignore_merges")):
        raise QweftError(
            f"the tokenizer splits text in another way than {', '.join(PRE_TOKENIZERS.values())} of llama.cpp; "
            f"{GGUF_WAY}"
        )
    return name


def _steps(found: dict[str, Any]) -> tuple[str, ...]:
    """Return the steps of a pre-tokenizer: a regular expression, "digits", "bytes", or "split" for GPT-2's split."""
    if found.get("type") == "Sequence":
        return tuple(step for each in found["pretokenizers"] for step in _steps(each))
    if found.get("type") == "Digits" and found.get("individual_digits"):
        return ("digits",)
    if found.get("type") == "Split" and found.get("behavior") == "Isolated" and not found.get("invert"):
        return (str(found["pattern"].get("Regex")),)
    if found.get("type") == "ByteLevel" and not found.get("add_prefix_space"):
        return ("split" if found.get("use_regex", True) else "bytes",)
    return ("unknown",)


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
