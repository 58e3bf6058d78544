"""A base model as it is, in 4 and in 8 bits: bytes of its weights against the plan's, and its speed.

    python -m benchmarks.quantized        (a minute; random weights of four of SmolLM2's blocks, in bfloat16)

The kinds take turns, and ratios are medians over the turns of processor time. torchao's int8 stands beside, and 4 bits
packed for bitsandbytes' CPU kernel, which `keep_unpacked` turns off (research/LOG.md has why).
"""

import json
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, TorchAoConfig

from qweft.models.config import ModelConfig
from qweft.models.load import load_model, load_tokenizer
from qweft.models.quantization import QUANTIZATIONS
from qweft.models.resolve import resolve
from qweft.training.config import TrainingConfig
from qweft.training.plan import footprint

KINDS: tuple[Any, ...] = (None, *QUANTIZATIONS)
TURNS = 8
SIZES: dict[str, Any] = {"hidden_size": 576, "intermediate_size": 1536, "num_attention_heads": 9}
LORA: dict[str, Any] = {"r": 4, "target_modules": ["q_proj", "v_proj"]}


def held(model: Any) -> int:
    """Bytes of a model's weights, with the scales of quantised ones."""
    states = [each.quant_state for each in model.parameters() if hasattr(each, "quant_state")]
    rows = [
        scale for each in model.modules() if (scale := getattr(getattr(each, "state", None), "SCB", None)) is not None
    ]
    return sum(each.nbytes for each in (*model.parameters(), *(state.absmax for state in states), *rows))


def torchao_int8(folder: Path) -> Any:
    """The model with torchao's 8-bit weights."""
    from torchao.quantization import Int8WeightOnlyConfig

    asked = TorchAoConfig(Int8WeightOnlyConfig(), modules_to_not_convert=["lm_head"])
    return AutoModelForCausalLM.from_pretrained(folder, quantization_config=asked, dtype=torch.bfloat16)


def step(model: Any) -> None:
    """One forward and backward pass of 2 x 64 tokens."""
    ids = torch.arange(128).view(2, 64)
    model.train()(input_ids=ids, labels=ids).loss.backward()


@torch.no_grad()
def token(model: Any) -> None:
    """One token."""
    model.eval()(input_ids=torch.tensor([[5]]))


def in_turns(models: dict[str, Any], what: Callable[[Any], None]) -> dict[str, dict[str, float]]:
    """Median processor seconds of each model, and the median ratio to the first; the first turn warms up."""
    found: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(TURNS + 1):
        for name, model in models.items():
            begun = time.process_time()
            what(model)
            found[name].append(time.process_time() - begun)
    first = next(iter(found.values()))[1:]
    return {
        name: {"seconds": median(times[1:]), "ratio": median(a / b for a, b in zip(times[1:], first, strict=True))}
        for name, times in found.items()
    }


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        torch.manual_seed(0)
        config = LlamaConfig(vocab_size=49152, num_hidden_layers=4, num_key_value_heads=3, **SIZES)
        made: Any = LlamaForCausalLM(config)
        made.to(torch.bfloat16).save_pretrained(folder)
        load_tokenizer(resolve(ModelConfig(source="package"))).save_pretrained(folder)
        adapter, bases, weights = LoraConfig(**LORA), dict[str, Any](), dict[str, Any]()
        for kind in KINDS:
            asked = ModelConfig(name, dtype="bfloat16", device="cpu", quantization=kind)
            shapes = get_peft_model(load_model(replace(asked, device="meta")).model, adapter)
            bases[str(kind)] = load_model(asked).model
            foretold = footprint(shapes, 0, TrainingConfig(), 64).base_weights
            weights[str(kind)] = {"foretold": foretold, "held": held(bases[str(kind)])}
        bases["torchao int8"] = torchao_int8(folder)
        models = {name: get_peft_model(base, adapter) for name, base in bases.items()}
        steps, tokens = in_turns(models, step), in_turns(models, token)
        layers: list[Any] = list(models["4bit"].modules())
        for layer in layers:  # where the processor has no such kernel, nothing changes
            if hasattr(layer, "support_avx512bf16_for_cpu"):
                layer.support_avx512bf16_for_cpu = True
        tokens["4bit packed"] = in_turns({"None": models["None"], "4bit": models["4bit"]}, token)["4bit"]
        found = {"weights": weights, "step": steps, "token": tokens, "load_average": os.getloadavg()[0]}
        print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
