"""What an export writes, format by format; each is read back as its user will read it."""

import contextlib
import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils import ModulesToSaveWrapper
from torch import nn
from transformers import AutoModelForCausalLM, GenerationConfig
from transformers.pytorch_utils import Conv1D

from qweft.adapter.attach import quiet_peft
from qweft.errors import QweftError
from qweft.evaluation.generation import end_tokens
from qweft.exporting.config import Target, check_gguf_type
from qweft.exporting.gguf import check_convertible, read_adapter, write_adapter, write_model
from qweft.exporting.lora import Lora, write_lora
from qweft.models.embedded import quiet

CausalLM: Any = AutoModelForCausalLM


@dataclass(frozen=True)
class Made:
    """An export that is not written yet: the base model, whose weights writing may change, and a LoRA for it."""

    base: Any
    tokenizer: Any
    name: str
    lora: Lora
    config: LoraConfig


def check_target(to: Target, base: nn.Module, tokenizer: Any) -> None:
    """Check that an export to a format can be written, before anything is fitted."""
    model: Any = base
    if to == "lora":
        return
    changed = (n for n, each in model.named_modules() if isinstance(each, BaseTunerLayer | ModulesToSaveWrapper))
    tied = _tied(model)
    caught = next((f"{name}.weight" for name in changed if f"{name}.weight" in tied), None)
    if caught is not None:
        raise QweftError(
            f"{caught} is one tensor with {tied[caught]}, and the adapter changes only one of them; give --to lora, or "
            "train without it"
        )
    if getattr(model, "is_quantized", False):
        raise QweftError(
            "nothing is added to quantised weights; name the model that is not quantised with --model.name, or give "
            "--model.quantization null"
        )
    if to != "gguf" and 0 < getattr(model.config, "rescale_every", 0) < model.config.num_hidden_layers:  # RWKV
        raise QweftError(
            "the base model halves weights of its later layers as it runs (rescale_every), and they would be saved so; "
            "give --to lora"
        )
    if to == "gguf":
        check_gguf_type(model.config.model_type)
    elif to == "merged-gguf":
        check_convertible(model, tokenizer)


def _tied(model: nn.Module) -> dict[str, str]:
    """Return each parameter that is one tensor with another, and the other's name; both without PEFT's wrappers."""
    found: dict[int, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        if ".modules_to_save." not in name:
            found.setdefault(id(parameter), []).append(re.sub(r"\.(base_layer|original_module)(?=\.)", "", name))
    return {name: names[name == names[0]] for names in found.values() if len(names) > 1 for name in names}


@torch.no_grad()
def add_to_weights(base: nn.Module, lora: Lora) -> None:
    """Add a LoRA to a model's own weights, W0 + B A, computed in float32, and put its fully trained modules in."""
    for name in lora.down:
        layer: Any = base.get_submodule(name)
        change = lora.up[name].float() @ lora.down[name].float()
        weight = layer.weight
        weight.copy_(weight.float() + (change.T if isinstance(layer, Conv1D) else change).to(weight.device))
    base.load_state_dict(dict(lora.whole), strict=False)


def _write_lora(folder: Path, made: Made) -> Any:
    write_lora(folder, made.lora, made.config)
    with quiet_peft():
        return PeftModel.from_pretrained(made.base, str(folder))


def _write_gguf(folder: Path, made: Made) -> Any:
    path, config = folder / "adapter.gguf", made.base.config
    write_adapter(path, made.lora, config, f"LoRA for {made.name}", made.name)
    add_to_weights(made.base, read_adapter(path, made.lora, config))
    return made.base


def _write_merged(folder: Path, made: Made) -> Any:
    add_to_weights(made.base, made.lora)
    settings = made.base.generation_config
    settings.eos_token_id = sorted(end_tokens(made.base, made.tokenizer)) or None
    made.base.generation_config = GenerationConfig()
    with quiet():
        made.base.save_pretrained(folder)
        made.tokenizer.save_pretrained(folder)
    # Written apart: save_pretrained refuses changed ones for what published ones have, a temperature without drawing.
    settings.to_json_file(folder / "generation_config.json", keys_to_pop=["compile_config"])
    return _read_back(folder, made.base)


def _write_merged_gguf(folder: Path, made: Made) -> Any:
    add_to_weights(made.base, made.lora)
    write_model(folder / "model.gguf", made.base, made.tokenizer, made.name)
    return _read_back(folder, made.base, gguf_file="model.gguf", config=made.base.config)


def _read_back(folder: Path, model: Any, **options: Any) -> Any:
    """Return the written model as transformers loads it; the one that it was written from gives its memory back."""
    device, dtype = model.device, model.dtype
    model.to("meta")
    # The progress bar of the GGUF reader ignores the settings of transformers.
    with quiet(), contextlib.redirect_stderr(io.StringIO()):
        return CausalLM.from_pretrained(folder, dtype=dtype, local_files_only=True, **options).to(device)


WRITERS: dict[Target, Callable[[Path, Made], Any]] = {
    "lora": _write_lora,
    "gguf": _write_gguf,
    "merged": _write_merged,
    "merged-gguf": _write_merged_gguf,
}
"""Write an export into an existing folder, and return the model as it is read from there."""
