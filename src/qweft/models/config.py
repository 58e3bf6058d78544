"""Config of the base model, and the permission to run code that comes with one."""

from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class ModelConfig:
    """The base model, its type and its device.

    Args:
        name: Hub id ("Qwen/Qwen2.5-0.5B-Instruct"), local folder, or alias ("smollm2-135m-instruct").
        source: Source of an alias: "hub" is the original model, "package" the quantised weights in a Python package.
            "auto" is the hub or its local cache if the model is there, else the package.
        dtype: Type of the weights; "auto" is bfloat16 on a CUDA device that computes in it, and on such a CPU if
            the weights were saved so; else float32.
        device: "auto", "cpu", "cuda", "cuda:1", "mps", or "meta" (shapes only).
        quantization: Round the weights of the linear layers as they load, with bitsandbytes: "4bit" (NF4) or "8bit"
            (LLM.int8). Embeddings and the output head keep their type. `None` rounds nothing.
    """

    name: str = "smollm2-135m-instruct"
    source: Literal["auto", "hub", "package"] = "auto"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    device: str = "auto"
    quantization: Literal["4bit", "8bit"] | None = None

    def decides(self) -> dict[str, Any]:
        """Return the settings that determine a result."""
        return {name: getattr(self, name) for name in ("name", "source", "dtype", "quantization")}


class _Permissions:
    """What this process may do; no config file can say so, as it may come with the code that it would let run."""

    remote_code = False


def allow_remote_code(allowed: bool = True) -> None:
    """Let this process run Python code of a base model, or forbid it."""
    _Permissions.remote_code = allowed


def remote_code_allowed() -> bool:
    """Return whether code of a base model may run in this process; it may not by default."""
    return _Permissions.remote_code
