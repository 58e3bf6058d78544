"""Memory of a run, estimated from shapes, and its duration, from a few timed steps."""

from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import nn
from transformers import set_seed

from qweft.adapter.attach import adapter_config, attach
from qweft.data.load import Data
from qweft.environment import ALONE, share_said
from qweft.models.load import load_model
from qweft.training.config import RunConfig, TrainingConfig
from qweft.training.loop import fit

BLOCK_STATES = 16
"""Tensors of the hidden size that a decoder block stores per token for the backward pass.

They are inputs and outputs of the two norms, queries, keys and values before and after rotation, the attention output
and the two residual sums. The count is for Llama's block; keys and values are smaller with grouped heads.
"""
MLP_STATES = 4
"""Tensors of the intermediate size that a block stores per token: gate, up, activation, product."""


@dataclass(frozen=True)
class Footprint:
    """Rough estimate of a run's memory in bytes, without PyTorch and its libraries.

    Args:
        base_weights: The frozen model.
        adapter_and_optimizer: Trained parameters, their gradients and AdamW's two moments, all in float32, and the
            adapter's fixed tensors.
        activations: Activations of a batch, stored for the backward pass.
        logits: Logits of a batch in the model's dtype, and their gradient and softmax in float32.
    """

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
    """Estimate memory from the model's config, the batch size and the longest row.

    Args:
        model: A PEFT model on any device.
        trainable: Number of trained parameters.
        training: Gives batch size and gradient checkpointing.
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
"""Steps to time; the first one is slower, and the median ignores it."""


@dataclass(frozen=True)
class Timing:
    """Measured times and memory of a few steps on this machine.

    Args:
        steps: Number of timed steps.
        step_seconds: Median wall time of a step.
        peak_memory_bytes: Peak memory during the steps; on a CPU, of the whole process.
        whole_seconds: Estimated wall time of all steps and of finding the bases, without evaluations and loading the
            model.
        basis_seconds: Wall time of finding an adapter's fixed bases, once before the first step.
        cpu_by_others: Share of the processors that other processes took meanwhile; `None` if it is not known.
        load_average: The system's load average; `None` if it has none.
    """

    steps: int
    step_seconds: float
    peak_memory_bytes: int
    whole_seconds: float
    basis_seconds: float = 0.0
    cpu_by_others: float | None = None
    load_average: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the timing as JSON can hold it."""
        return asdict(self)

    def lines(self) -> list[tuple[str, str]]:
        """Return the rows of a table, as (name, value)."""
        minutes, seconds = divmod(round(self.whole_seconds), 60)
        hours, minutes = divmod(minutes, 60)
        whole = f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s"
        bases = [("time to find the bases", f"{self.basis_seconds:.2f} s")] if self.basis_seconds else []
        taken = share_said(self.cpu_by_others)
        if self.cpu_by_others is None:
            taken = "not known"
        elif self.cpu_by_others > ALONE:
            taken += ": not measured alone, and too long for a quiet machine"
        return [
            (f"time of a step (median of {self.steps})", f"{self.step_seconds:.2f} s"),
            *bases,
            ("time of all steps" + (" and the bases" if bases else ""), whole),
            ("CPU taken by others", taken),
            ("memory: measured at its peak", f"{self.peak_memory_bytes / 2**20:,.0f} MiB"),
        ]


def time_steps(config: RunConfig, data: Data, steps: int) -> Timing:
    """Load the weights, train a few steps on the run's rows, and discard the result.

    Args:
        config: The run's config.
        data: The run's data.
        steps: Steps of the whole run.

    Raises:
        QweftError: If the model cannot be loaded, or the loss is NaN or infinite.
    """
    loaded = load_model(config.model)
    set_seed(config.training.seed)
    model = attach(loaded.model, adapter_config(config.adapter))
    timed = min(TIMED, steps)
    budget = replace(config.training, max_steps=timed)
    found = fit(model, data.train, loaded.tokenizer.pad_token_id, budget, "timing")
    assert found.step_seconds_median is not None
    whole = found.basis_seconds + found.step_seconds_median * steps
    return Timing(
        timed, found.step_seconds_median, found.peak_memory_bytes, whole, found.basis_seconds, found.cpu_by_others,
        found.load_average,
    )  # fmt: skip
