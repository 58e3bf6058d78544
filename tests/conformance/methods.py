"""The presets, small, and LoRA as the control: what fails for LoRA too is not ours."""

from typing import Any

from peft import LoraConfig, PeftConfig

import qweft
from qweft import QwthnConfig

CONTROL = "LoRA (PEFT's own)"
METHODS = [CONTROL, *qweft.presets()]
SMALL: dict[str, Any] = {"r": 3, "width": 8, "bond_dimension": 2, "circuit_layers": 2}


def make_config(method: str, **changes: Any) -> PeftConfig:
    """A config of that method; `alpha` and `dropout` go by LoRA's names for the control."""
    if method == CONTROL:
        names = {"alpha": "lora_alpha", "dropout": "lora_dropout", "init_weights": "init_lora_weights"}
        return LoraConfig(**{"r": 3, **{names.get(key, key): value for key, value in changes.items()}})
    return QwthnConfig.preset(method, **{**SMALL, **changes})


def has_circuit(method: str) -> bool:
    """Whether the branch depends on the input, so that no weight equals it."""
    return method != CONTROL and not QwthnConfig.preset(method).is_linear
