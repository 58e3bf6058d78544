"""What an export writes, format by format; each is read back as its user will read it."""

from pathlib import Path
from typing import Any

from peft import LoraConfig, PeftModel
from transformers import AutoModelForCausalLM, GenerationConfig

from qweft.adapter.attach import quiet_peft
from qweft.evaluation.generation import end_tokens
from qweft.exporting.config import Target
from qweft.exporting.gguf import read_adapter, write_adapter, write_model
from qweft.exporting.lora import Lora, write_lora
from qweft.exporting.merging import with_lora
from qweft.models.quiet import quiet

CausalLM: Any = AutoModelForCausalLM


def write_beside(to: Target, folder: Path, model: Any, name: str, lora: Lora, config: LoraConfig) -> Any:
    """Write a LoRA into an existing folder; return the base model with the LoRA that is read from there."""
    if to == "lora":
        write_lora(folder, lora, config)
        with quiet_peft():
            return PeftModel.from_pretrained(model, str(folder))
    path = folder / "adapter.gguf"
    write_adapter(path, lora, model.config, f"LoRA for {name}", name)
    return with_lora(model, read_adapter(path, lora, model.config), config)


def write_whole(to: Target, folder: Path, model: Any, name: str, tokenizer: Any) -> Any:
    """Write a model into an existing folder and free its memory; return what transformers reads from there."""
    options: dict[str, Any] = {}
    if to == "merged":
        settings = model.generation_config
        settings.eos_token_id = sorted(end_tokens(model, tokenizer)) or None
        model.generation_config = GenerationConfig()
        with quiet():
            model.save_pretrained(folder)
            tokenizer.save_pretrained(folder)
        # Apart: save_pretrained refuses changed ones for what published ones have, a temperature without drawing.
        settings.to_json_file(folder / "generation_config.json", keys_to_pop=["compile_config"])
    else:
        write_model(folder / "model.gguf", model, tokenizer, name)
        options = {"gguf_file": "model.gguf", "config": model.config}
    device, dtype = model.device, model.dtype
    model.to("meta")
    with quiet():
        return CausalLM.from_pretrained(folder, dtype=dtype, local_files_only=True, **options).to(device)
