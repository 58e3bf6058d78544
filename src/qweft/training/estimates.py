"""Memory of a run, estimated from shapes, and its time, from a few of its steps."""

from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import nn
from transformers import set_seed

from qweft.adapter.attach import adapter_config, attach
from qweft.data.load import Data
from qweft.models.load import load_model
from qweft.training.config import RunConfig, TrainingConfig
from qweft.training.loop import fit

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


TIMED = 4
"""Steps; the first one or two are slower, and the median leaves them out."""


@dataclass(frozen=True)
class Timing:
    """What some steps took on this machine.

    Args:
        steps: Steps that were timed.
        step_seconds: Median wall time of one.
        peak_memory_bytes: Largest memory in use while they ran, of the whole process on a CPU.
        whole_seconds: All steps of the run and what came before the first; its evaluations and the loading of the model
            are not in it.
        basis_seconds: Finding the bases of an adapter that has fixed ones, once before the first step.
    """

    steps: int
    step_seconds: float
    peak_memory_bytes: int
    whole_seconds: float
    basis_seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """As JSON holds it."""
        return asdict(self)

    def lines(self) -> list[tuple[str, str]]:
        """For a table."""
        minutes, seconds = divmod(round(self.whole_seconds), 60)
        hours, minutes = divmod(minutes, 60)
        whole = f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s"
        bases = [("time to find the bases", f"{self.basis_seconds:.2f} s")] if self.basis_seconds else []
        return [
            (f"time of a step (median of {self.steps})", f"{self.step_seconds:.2f} s"),
            *bases,
            ("time of all steps" + (" and the bases" if bases else ""), whole),
            ("memory: measured at its peak", f"{self.peak_memory_bytes / 2**20:,.0f} MiB"),
        ]


def time_steps(config: RunConfig, data: Data, steps: int) -> Timing:
    """Load the weights, train for a few steps on the run's own rows, and throw the result away.

    Args:
        config: The run.
        data: Its data.
        steps: Steps of the whole run.

    Raises:
        QweftError: If the model cannot be loaded, or the loss is not a number.
    """
    loaded = load_model(config.model)
    set_seed(config.training.seed)
    model = attach(loaded.model, adapter_config(config.adapter))
    timed = min(TIMED, steps)
    budget = replace(config.training, max_steps=timed)
    found = fit(model, data.train, loaded.tokenizer.pad_token_id, budget, "timing")
    assert found.step_seconds_median is not None  # it made steps
    whole = found.basis_seconds + found.step_seconds_median * steps
    return Timing(timed, found.step_seconds_median, found.peak_memory_bytes, whole, found.basis_seconds)
