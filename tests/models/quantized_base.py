"""A tiny base model that can be quantised, and how it is loaded with Qweft and without."""

import torch
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, LlamaConfig, LlamaForCausalLM

from qweft.models.config import ModelConfig
from qweft.models.load import load_model
from tests.data.tiny_tokenizer import CHATML, make_tokenizer
from tests.tiny_folder import save_rows


def save_base(folder):
    """A tiny Llama with a tokenizer, whose layers are large enough for blocks of 64, and rows."""
    tokenizer = make_tokenizer(CHATML)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        initializer_range=0.2,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    save_rows(folder / "rows.jsonl")
    return folder


def quantized_config(folder, quantization, device="cpu"):
    return ModelConfig(str(folder), dtype="float32", device=device, quantization=quantization)


def load_quantized(folder, quantization, device="cpu"):
    """The model and tokenizer as Qweft loads them."""
    return load_model(quantized_config(folder, quantization, device))


def load_with_transformers(folder, quantization, dtype=torch.float32):
    """The model as a user of transformers would load it; 4 bits as in QLoRA."""
    if quantization == "8bit":
        scheme = BitsAndBytesConfig(load_in_8bit=True)
    else:
        scheme = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype)
    return AutoModelForCausalLM.from_pretrained(folder, quantization_config=scheme, dtype=dtype, device_map="cpu")
