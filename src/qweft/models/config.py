"""Which base model a run starts from."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class ModelConfig:
    """The base model: where it comes from and in which type and place it computes.

    Args:
        name: Hub id ("Qwen/Qwen2.5-0.5B-Instruct"), a local folder, or an alias ("smollm2-135m-instruct").
        source: Where an alias is taken from: "hub" is the original, "package" the weights that arrive as a Python
            package, "auto" the hub where it can be reached and the package otherwise.
        dtype: Type of the base model's weights; "auto" is bfloat16 on a CUDA device that computes it in hardware, else
            float32.
        device: "auto", "cpu", "cuda", "cuda:1", "mps", or "meta" (shapes only).
    """

    name: str = "smollm2-135m-instruct"
    source: Literal["auto", "hub", "package"] = "auto"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    device: str = "auto"
