"""Training in several processes: who writes, and FSDP's settings and whole states."""

import os
from typing import Any

import torch
from torch.distributed.tensor import DTensor

from qweft.errors import QweftError


def is_first_process() -> bool:
    """Of those that accelerate started, or alone."""
    return int(os.environ.get("RANK", "0")) == 0


def of_the_first(number: float, device: torch.device) -> float:
    """A number as the first process has it: what all are to decide by alike. To be called in every process at once."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return number
    told = torch.tensor(number, dtype=torch.float64, device=device)
    torch.distributed.broadcast(told, 0)
    return told.item()


def check_sharding() -> None:
    """See that accelerate is asked for a version of FSDP in which an adapter's small tensors can be read as tensors.

    Version 1 wraps each of them in a module of its own, and gathers it in that module's forward pass, which is never
    called: a branch contracts the tensors themselves.

    Raises:
        QweftError: If it is the other one.
    """
    if _is_asked() and os.environ.get("FSDP_VERSION", "1") != "2":
        raise QweftError(
            f"accelerate was told to use FSDP of version {os.environ.get('FSDP_VERSION', '1')}, in which adapters of "
            "this kind cannot be trained; give accelerate launch --fsdp_version 2"
        )


def settle_sharding() -> None:
    """Say what accelerate is to do where the user said nothing, or what cannot be; to be called before the trainer.

    Every process has loaded the model whole, so none has to wait for the first one's weights; that way accelerate
    1.15 also fails where a model has buffers in its state, as fixed bases are.
    """
    if _is_asked():
        os.environ["FSDP_CPU_RAM_EFFICIENT_LOADING"] = "false"
        if os.environ.get("FSDP_AUTO_WRAP_POLICY", "NO_WRAP").upper() == "NO_WRAP":
            os.environ["FSDP_AUTO_WRAP_POLICY"] = "TRANSFORMER_BASED_WRAP"


def _is_asked() -> bool:
    return os.environ.get("ACCELERATE_USE_FSDP", "false").lower() == "true"


def whole_state(model: Any) -> dict[str, Any]:
    """The model's state with whole tensors for all that is trained; nothing where nothing is spread.

    To be called in every process at once, since each holds a part.

    Returns:
        Keywords for `save_pretrained`, which not every method's model takes where there is no need.
    """
    if not any(isinstance(parameter, DTensor) for parameter in model.parameters()):
        return {}
    trained = {name: whole(p.detach()) for name, p in model.named_parameters() if p.requires_grad}
    return {"state_dict": model.state_dict() | trained}


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor of which each process may hold a part; to be called in every process at once."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
