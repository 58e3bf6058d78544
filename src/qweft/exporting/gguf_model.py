"""A whole model as one GGUF file: its sizes, its vocabulary and its weights."""

import json
import tempfile
from pathlib import Path
from typing import Any

import torch
from gguf import GGUFType, GGUFWriter, LlamaFileType, SpecialVocab, TokenType

from qweft.errors import QweftError
from qweft.exporting.config import GGUF_WAY, check_gguf_type
from qweft.exporting.gguf_tensors import Layout, add_tensor, finish, opened
from qweft.text import shown

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
    """Checks that `write_model` can convert a model and its tokenizer.

    Raises:
        QweftError: Naming what GGUF or llama.cpp would compute otherwise, or not at all.
    """
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
    """Writes a model as a GGUF file in the type of its weights; vectors are float32, as llama.cpp wants them.

    Args:
        path: The file.
        model: The model, without an adapter.
        tokenizer: Its tokenizer.
        name: Name of the model.

    Raises:
        QweftError: As `check_convertible`, or GGUF has no tensor for one of the model's.
    """
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
    """Returns by what llama.cpp divides the frequencies of the rotation; `None` without scaling.

    transformers has the scaled frequencies; those without scaling are theta^(-2i/d).
    """
    if model.config.rope_parameters.get("rope_type", "default") == "default":
        return None
    scaled = model.model.rotary_emb.inv_freq.float().cpu()
    exponents = torch.arange(len(scaled), dtype=torch.float32) / len(scaled)
    return model.config.rope_parameters["rope_theta"] ** -exponents / scaled


def pre_tokenizer(tokenizer: Any) -> str:
    """Returns llama.cpp's name for how a tokenizer splits text before it merges bytes.

    Raises:
        QweftError: If llama.cpp has none that splits so, as far as Qweft knows.
    """
    told = _told(tokenizer)
    model, normalizer = told.get("model") or {}, told.get("normalizer")
    if model.get("type") != "BPE" or model.get("byte_fallback") or (normalizer and normalizer.get("type") != "NFC"):
        raise QweftError(f"the tokenizer is no byte-level BPE, and no other is written to GGUF; {GGUF_WAY}")
    name = PRE_TOKENIZERS.get(_steps(told.get("pre_tokenizer") or {}))
    if name is None or (name in IGNORES_MERGES) != bool(model.get("ignore_merges")):
        raise QweftError(
            f"the tokenizer splits text in another way than {', '.join(PRE_TOKENIZERS.values())} of llama.cpp; "
            f"{GGUF_WAY}"
        )
    return name


def _told(tokenizer: Any) -> dict[str, Any]:
    """Returns the contents of a tokenizer.json."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    return json.loads(backend.to_str()) if backend is not None else {}


def _steps(found: dict[str, Any]) -> tuple[str, ...]:
    """Returns the steps of a pre-tokenizer: a regular expression, "digits", "bytes", or "split" for GPT-2's split."""
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
    """Adds tokens, merges, special tokens and the chat template.

    Raises:
        QweftError: If the tokenizer has tokens beyond the model's embeddings.
    """
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
