"""Config of the base model."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class ModelConfig:
    """The base model, its type and its device.

    Args:
        name: Hub id ("Qwen/Qwen2.5-0.5B-Instruct"), local folder, or alias ("smollm2-135m-instruct").
        source: Source of an alias: "hub" is the original model, "package" the quantised weights in a Python package.
            "auto" is the hub or its local cache if the model is there, else the package.
        dtype: Type of the weights; "auto" is bfloat16 on a CUDA device with bfloat16 hardware, else float32.
        device: "auto", "cpu", "cuda", "cuda:1", "mps", or "meta" (shapes only).
    """

    name: str = "smollm2-135m-instruct"
    source: Literal["auto", "hub", "package"] = "auto"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    device: str = "auto"
