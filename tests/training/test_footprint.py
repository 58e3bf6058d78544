"""The memory that a plan foretells, by the config."""

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from qweft.training.config import TrainingConfig
from qweft.training.estimates import footprint
from tests.tiny_models import tiny_llama

LORA = LoraConfig(r=2, target_modules=["q_proj", "v_proj"])


def on_meta(config, dtype=torch.bfloat16):
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config, dtype=dtype)


def test_four_bits_are_counted_by_the_config_that_asks_for_them():
    config = tiny_llama().config
    plain = footprint(get_peft_model(on_meta(config), LORA), 0, TrainingConfig(), 16)
    config.quantization_config = {"load_in_4bit": True, "quant_method": "bitsandbytes"}
    model = get_peft_model(on_meta(config), LORA)
    packed = footprint(model, 0, TrainingConfig(), 16)
    linear = sum(
        module.weight.numel() for name, module in model.get_base_model().named_modules()
        if isinstance(module, torch.nn.Linear) and name != "lm_head" and "lora_" not in name
    )  # fmt: skip
    assert plain.base_weights - packed.base_weights == round(linear * (2 - 0.5 - 4 / 64))
