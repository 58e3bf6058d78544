"""An adapter's file must hold exactly the adapter: PEFT itself only warns, and the adapter then does nothing."""

import torch
from torch import nn

from qweft.errors import QweftError

PEFT_PREFIX = "base_model.model."


def check_keys(
    model: nn.Module, adapter_name: str, found: dict[str, torch.Tensor], containers: tuple[str, ...]
) -> None:
    """Compare the tensors of a file, renamed to the model's keys, with what the adapter needs.

    Raises:
        QweftError: If a tensor is missing, unknown, or empty.
    """
    known = set(model.state_dict())
    needed = {key for key in known if any(f"{name}.{adapter_name}." in f".{key}" for name in containers)}
    present = {key if key in known else key.removeprefix(PEFT_PREFIX) for key in found}
    missing = sorted(needed - present)
    unknown = sorted(present - known)
    if missing or unknown:
        parts = [f"{len(missing)} tensors are missing (first: {missing[0]})"] if missing else []
        parts += [f"{len(unknown)} are not known (first: {unknown[0]})"] if unknown else []
        raise QweftError(
            f"the file of adapter {adapter_name!r} does not fit the model: {' and '.join(parts)}; load it on the base "
            "model and with the adapter_config.json that it was trained with"
        )
    empty = sorted(key for key, tensor in found.items() if not tensor.numel())
    if empty:
        raise QweftError(
            f"the file of adapter {adapter_name!r} holds empty tensors (first: {empty[0]}); it was probably saved from "
            "a sharded model without gathering it: save it again"
        )
