"""What an export writes, format by format; each is read back as its user will read it."""

import contextlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peft import LoraConfig, PeftModel
from torch import nn
from transformers import AutoModelForCausalLM, GenerationConfig

from qweft.adapter.attach import quiet_peft
from qweft.evaluation.generation import end_tokens
from qweft.exporting.config import Target, check_gguf_type
from qweft.exporting.gguf import check_convertible, read_adapter, write_adapter, write_model
from qweft.exporting.lora import Lora, write_lora
from qweft.exporting.merging import check_ties, with_lora
from qweft.models.embedded import quiet

CausalLM: Any = AutoModelForCausalLM


@dataclass(frozen=True)
class Made:
    """An export that is not written yet: a model, with the adapter in its weights or beside a LoRA for it."""

    model: Any
    tokenizer: Any
    name: str
    lora: tuple[Lora, LoraConfig] | None = None


def check_target(to: Target, base: nn.Module, tokenizer: Any) -> None:
    """Check that an export to a format can be written, before anything is fitted."""
    model: Any = base
    if to == "gguf":
        check_gguf_type(model.config.model_type)
    if to not in ("merged", "merged-gguf"):
        return
    check_ties(model)
    if to == "merged-gguf":
        check_convertible(model, tokenizer)


def _write_lora(folder: Path, made: Made) -> Any:
    assert made.lora is not None
    write_lora(folder, *made.lora)
    with quiet_peft():
        return PeftModel.from_pretrained(made.model, str(folder))


def _write_gguf(folder: Path, made: Made) -> Any:
    assert made.lora is not None
    path, (lora, config) = folder / "adapter.gguf", made.lora
    write_adapter(path, lora, made.model.config, f"LoRA for {made.name}", made.name)
    return with_lora(made.model, read_adapter(path, lora, made.model.config), config)


def _write_merged(folder: Path, made: Made) -> Any:
    settings = made.model.generation_config
    settings.eos_token_id = sorted(end_tokens(made.model, made.tokenizer)) or None
    made.model.generation_config = GenerationConfig()
    with quiet():
        made.model.save_pretrained(folder)
        made.tokenizer.save_pretrained(folder)
    # Written apart: save_pretrained refuses changed ones for what published ones have, a temperature without drawing.
    settings.to_json_file(folder / "generation_config.json", keys_to_pop=["compile_config"])
    return _read_back(folder, made.model)


def _write_merged_gguf(folder: Path, made: Made) -> Any:
    write_model(folder / "model.gguf", made.model, made.tokenizer, made.name)
    return _read_back(folder, made.model, gguf_file="model.gguf", config=made.model.config)


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
