"""Checksum of a model's weights, by which a changed base model is found."""

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import torch

INTEGERS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
"""The integer type of as many bytes."""


def checksum(model: Any) -> str:
    """Return a hash of the names of a model's weights and the exact sums of their bits as integers."""
    sums: list[tuple[str, int]] = []
    for weight_name, weight in model.named_parameters():
        for name, tensor in _plain_tensors(weight_name, weight.detach()):
            bits = tensor.view(INTEGERS[tensor.element_size()])
            sums.append((name, int(bits.sum(dtype=torch.int64))))
    return hashlib.sha256(json.dumps(sums).encode()).hexdigest()


def _plain_tensors(name: str, tensor: torch.Tensor) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield a tensor with its name, or the tensors that one of torchao's consists of."""
    flatten = getattr(tensor, "__tensor_flatten__", None)
    if flatten is None:
        yield name, tensor
        return
    part_names, _ = flatten()
    for part in part_names:
        yield from _plain_tensors(f"{name}.{part}", getattr(tensor, part))
