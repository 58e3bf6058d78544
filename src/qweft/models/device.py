"""Which device and which type a base model computes in."""

import os

import torch

from qweft.errors import QweftError

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def choose_device(name: str) -> torch.device:
    """Return the device of a name; "auto" is CUDA, else MPS, else the CPU.

    Of several processes that accelerate started on a machine each has a CUDA device of its own, unless one is named by
    its number.

    Raises:
        QweftError: There is no such device, or this machine does not have it.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", _cuda_of_this_process())
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as fault:
        raise QweftError(f"device {name}: unknown; use auto, cpu, cuda, cuda:1, mps or meta") from fault
    if device.type not in {"cpu", "cuda", "mps", "meta"}:
        raise QweftError(f"device {name}: not supported; use auto, cpu, cuda, cuda:1, mps or meta")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise QweftError(f"device {name}: torch sees {count} CUDA devices on this machine; use auto or cpu")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise QweftError(f"device {name}: torch sees no MPS device on this machine; use auto or cpu")
    return torch.device("cuda", _cuda_of_this_process()) if name == "cuda" else device


def _cuda_of_this_process() -> int:
    place = int(os.environ.get("LOCAL_RANK", "-1"))
    # a process that sees one device alone has been given it by whoever started it
    return place if 0 <= place < torch.cuda.device_count() else torch.cuda.current_device()


def choose_dtype(name: str, device: torch.device) -> torch.dtype:
    """Return the type of a name; "auto" is bfloat16 on a CUDA device that computes it in hardware, else float32.

    The CPU always gets float32: where its bfloat16 is emulated it is tens of times slower.

    Raises:
        QweftError: There is no such type.
    """
    if name == "auto":
        # False: emulation does not count.
        hardware = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if hardware else torch.float32
    if name not in DTYPES:
        raise QweftError(f"dtype {name}: unknown; use auto, {', '.join(DTYPES)}")
    return DTYPES[name]
