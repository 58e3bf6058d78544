"""Several processes that train together, as accelerate starts them."""

import os

import torch


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
