"""An estimate of a run's memory from shapes."""

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from qweft.training.config import TrainingConfig

BLOCK_STATES = 16
"""Tensors of a token's hidden size that a decoder block keeps for the backward pass: inputs of the two norms and their
results, queries, keys, values before and after rotation, the attention's output, the two residual sums (counted on
Llama's block; keys and values are smaller with grouped heads)."""
MLP_STATES = 4
"""Tensors of the intermediate size: gate, up, activation, product."""


@dataclass(frozen=True)
class Footprint:
    """Bytes by what they hold: a rough estimate, without the process itself (PyTorch and its libraries).

    Args:
        base_weights: The frozen model.
        adapter_and_optimizer: Trained parameters, their gradients and AdamW's two moments, in float32, and fixed
            directions.
        activations: What a batch keeps for the backward pass.
        logits: The logits of a batch, their gradient and the softmax in float32.
    """

    base_weights: int
    adapter_and_optimizer: int
    activations: int
    logits: int

    def to_json(self) -> dict[str, int]:
        """By part, and the sum."""
        return {**asdict(self), "total": sum(asdict(self).values())}


def fixed_tensors(model: nn.Module) -> list[torch.Tensor]:
    """What belongs to the adapter, and is in its file, and is not trained."""
    return [tensor for name, tensor in model.named_buffers() if ".qwthn_" in name]


def footprint(model: Any, trainable: int, training: TrainingConfig, row_tokens: int) -> Footprint:
    """Estimate from the model's config, the batch and the longest row.

    Args:
        model: A PEFT model, on any device.
        trainable: Trained parameters.
        training: Batch size and checkpointing.
        row_tokens: Tokens of the longest row.
    """
    shape = model.config.get_text_config()
    frozen = [p for p in model.parameters() if not p.requires_grad]
    width = frozen[0].element_size() if frozen else torch.finfo(torch.float32).bits // 8
    tokens = training.batch_size * row_tokens
    hidden = shape.hidden_size
    inner = getattr(shape, "intermediate_size", None) or 4 * hidden
    block = BLOCK_STATES * hidden + MLP_STATES * inner
    blocks = shape.num_hidden_layers
    fixed = sum(tensor.numel() * tensor.element_size() for tensor in fixed_tensors(model))
    kept = blocks * hidden + block if training.gradient_checkpointing else blocks * block
    return Footprint(
        base_weights=sum(p.numel() * p.element_size() for p in frozen),
        adapter_and_optimizer=16 * trainable + fixed,
        activations=tokens * kept * width,
        logits=tokens * shape.vocab_size * (width + 8),
    )
