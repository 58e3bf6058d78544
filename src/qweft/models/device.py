"""Choice of the device and the type of a base model."""

import os
from typing import Any

import torch

from qweft.core.errors import QweftError
from qweft.models.checks import check_device_name
from qweft.models.find import ModelSource
from qweft.models.saved_config import read_config


def choose_device(name: str) -> torch.device:
    """Return a device; "auto" is CUDA, else MPS, else the CPU; each worker has its own CUDA device, by LOCAL_RANK."""
    counts = {"cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    if name == "auto":
        name = next((kind for kind, count in counts.items() if count), "cpu")
    check_device_name(name)
    device = torch.device(name)
    count = counts.get(device.type, 1)
    if (device.index or 0) >= count:
        kind = device.type.upper()
        raise QweftError(f"device {name}: torch sees {count} {kind} devices on this machine; use auto or cpu")
    if name != "cuda":
        return device
    rank = int(os.environ.get("LOCAL_RANK", "-1"))
    if 0 <= rank < count:
        return torch.device("cuda", rank)
    # A local rank beyond the visible devices means that the launcher gave this process its own device.
    return torch.device("cuda", torch.cuda.current_device())


def choose_dtype(name: str, device: torch.device, source: ModelSource | None = None) -> torch.dtype:
    """Return a type; "auto" is bfloat16 where hardware computes in it (a CPU: if saved so too), else float32."""
    if name != "auto":
        dtype: torch.dtype = getattr(torch, name)
        return dtype
    if device.type == "cuda":
        # by default torch also returns True for emulated bfloat16
        in_bfloat16 = torch.cuda.is_bf16_supported(including_emulation=False)
    elif device.type == "cpu":
        in_bfloat16 = cpu_computes_bfloat16() and _is_saved_in_bfloat16(source)
    else:
        in_bfloat16 = False
    return torch.bfloat16 if in_bfloat16 else torch.float32


def cpu_computes_bfloat16() -> bool:
    """Return whether the processor has instructions that multiply in bfloat16, as far as this PyTorch tells."""
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16"))


def _is_saved_in_bfloat16(source: ModelSource | None) -> bool:
    if source is None:
        return False
    config = read_config(source)
    return "bfloat16" in (config.get("dtype"), config.get("torch_dtype"))
