"""Training in several processes: the process that writes, FSDP's settings, full states of sharded models."""

import os
from typing import TYPE_CHECKING, Any

from qweft.core.errors import QweftError
from qweft.core.progress import is_beside_the_first, is_launched
from qweft.core.text import short_repr

if TYPE_CHECKING:
    import torch


def is_first_process() -> bool:
    """Whether this is the first process that accelerate started, or the only one."""
    return not is_beside_the_first()


def processes() -> int:
    """Return the number of processes that accelerate started, or 1."""
    return int(os.environ.get("WORLD_SIZE", "1")) if is_launched() else 1


def check_launch() -> None:
    """Check what accelerate was told in the environment."""
    if os.environ.get("ACCELERATE_USE_DEEPSPEED", "false").lower() == "true":
        raise QweftError("DeepSpeed is not supported; give accelerate launch --use_fsdp --fsdp_version 2")
    precision = os.environ.get("ACCELERATE_MIXED_PRECISION", "no")
    if precision != "no":
        raise QweftError(
            f"ACCELERATE_MIXED_PRECISION is {short_repr(precision)}; give no, and the precision by --model.dtype"
        )


def of_the_first(number: float, device: "torch.device") -> float:
    """Return the first process's value in every process; all must call it at the same time."""
    import torch  # here, since `check_sharding` needs none
    from accelerate.utils import broadcast

    return float(broadcast(torch.tensor(number, dtype=torch.float64, device=device)))


def check_sharding(quantization: str | None = None) -> None:
    """Check that accelerate uses FSDP version 2, if it uses FSDP, and shares no quantised base model."""
    version = os.environ.get("FSDP_VERSION", "1")
    if _is_asked() and (quantization is not None or version != "2"):
        what = f"FSDP of version {version}" if quantization is None else f"FSDP with model.quantization {quantization}"
        raise QweftError(f"{what} is not supported; give --fsdp_version 2 and no quantization, or leave out --use_fsdp")


def settle_sharding() -> None:
    """Set FSDP's variables before the trainer is made; accelerate 1.15's RAM-efficient loading fails on buffers."""
    if _is_asked():
        os.environ["FSDP_CPU_RAM_EFFICIENT_LOADING"] = "false"
        if os.environ.get("FSDP_AUTO_WRAP_POLICY", "NO_WRAP").upper() == "NO_WRAP":
            os.environ["FSDP_AUTO_WRAP_POLICY"] = "TRANSFORMER_BASED_WRAP"


def _is_asked() -> bool:
    return os.environ.get("ACCELERATE_USE_FSDP", "false").lower() == "true"


def whole_state(model: Any) -> dict[str, Any]:
    """Gather the trained tensors of a sharded model; every process must call it at the same time."""
    from torch.distributed.tensor import DTensor

    if not any(isinstance(parameter, DTensor) for parameter in model.parameters()):
        return {}
    trained = {name: whole(p.detach()) for name, p in model.named_parameters() if p.requires_grad}
    return {"state_dict": model.state_dict() | trained}


def whole(tensor: "torch.Tensor") -> "torch.Tensor":
    """Return the full tensor of a shard; every process must call it at the same time."""
    from torch.distributed.tensor import DTensor

    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
