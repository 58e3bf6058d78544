"""Memory of a run, estimated from shapes."""

from dataclasses import asdict, dataclass
from typing import Any

import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn

from qweft.models.quantization import bits_of
from qweft.training.config import TrainingConfig

LOGIT_BYTES = 12
"""Bytes of a logit at the peak: logits in the model's type, softmax, gradient, and what is cast between them."""
ABSMAX_BYTES = 4 / 64
"""Bytes of a weight's share in the scale of its block, in bitsandbytes' 4 bits without nested quantization."""
BLOCK_STATES = 12
"""Tensors of the hidden size that a block of Llama keeps per token for the backward pass."""
MLP_STATES = 3
"""Tensors of the intermediate size that it keeps: gate, its activation, up."""


@dataclass(frozen=True)
class Footprint:
    """Rough estimate of a run's memory in bytes, without PyTorch; trained parameters with gradients and moments."""

    base_weights: int
    adapter_and_optimizer: int
    activations: int
    logits: int

    def to_json(self) -> dict[str, int]:
        """Return the bytes by part and their total."""
        return {**asdict(self), "total": sum(asdict(self).values())}


def fixed_tensors(model: nn.Module) -> list[torch.Tensor]:
    """Return the adapter's tensors that are saved but not trained."""
    return [tensor for name, tensor in model.named_buffers() if ".qwthn_" in name]


def footprint(model: Any, trainable: int, training: TrainingConfig, row_tokens: int) -> Footprint:
    """Estimate memory from the model's config, the batch size and the longest row."""
    shape = model.config.get_text_config()
    frozen = {name: p for name, p in model.named_parameters() if not p.requires_grad}
    width = next(iter(frozen.values())).element_size() if frozen else torch.finfo(torch.float32).bits // 8
    tokens = training.batch_size * row_tokens
    blocks, hidden = shape.num_hidden_layers, shape.hidden_size
    inner = getattr(shape, "intermediate_size", None) or 4 * hidden
    stored = blocks * tokens * width * (BLOCK_STATES * hidden + MLP_STATES * inner)
    stored += tokens * _adapted_inputs(model, width)
    if training.gradient_checkpointing:
        stored = blocks * tokens * hidden * width + stored // blocks
    fixed = sum(tensor.numel() * tensor.element_size() for tensor in fixed_tensors(model))
    return Footprint(
        base_weights=round(sum(p.numel() * p.element_size() * _quantized(model, name) for name, p in frozen.items())),
        adapter_and_optimizer=16 * trainable + fixed,
        activations=stored,
        logits=tokens * shape.vocab_size * LOGIT_BYTES,
    )


def _quantized(model: Any, name: str) -> float:
    """Return the share of a weight's bytes that is left after the quantization that the model's config asks for."""
    place, _, kind = name.rpartition(".")
    module = model.get_submodule(place)
    bits = bits_of(model, place, module) if kind == "weight" else None
    if bits is None:
        return 1.0
    return (bits / 8 + (ABSMAX_BYTES if bits == 4 else 0)) / module.weight.element_size()


def _adapted_inputs(model: nn.Module, width: int) -> int:
    """Return the bytes of a token's inputs to adapted layers, in float32; in a smaller type each layer has its copy."""
    sizes: dict[str, list[int]] = {}
    for name, module in model.named_modules():
        size = getattr(module, "in_features", None)
        if isinstance(module, BaseTunerLayer) and isinstance(size, int):
            sizes.setdefault(name.rpartition(".")[0], []).append(size)
    return 4 * sum(sum(each) if width < 4 else sum(set(each)) for each in sizes.values())
