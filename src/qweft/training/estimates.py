"""Memory of a run, estimated from shapes, and its duration, from a few timed steps."""

from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn
from transformers import set_seed

from qweft.adapter.attach import adapter_config, attach
from qweft.data.load import Data
from qweft.environment import ALONE, share_said
from qweft.models.load import load_model
from qweft.models.quantization import bits_of
from qweft.training.config import RunConfig, TrainingConfig
from qweft.training.loop import fit

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
    """Rough estimate of a run's memory in bytes, without PyTorch and its libraries.

    Args:
        base_weights: The frozen model.
        adapter_and_optimizer: Trained parameters, their gradients and AdamW's two moments, all in float32, and the
            adapter's fixed tensors.
        activations: Activations of a batch, stored for the backward pass.
        logits: Logits of a batch, their gradient and softmax.
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
    """Return the bytes of a token's inputs to adapted layers, which adapters store in float32.

    In a base model of fewer bytes each adapted layer makes its own copy, else neighbours share one.
    """
    sizes: dict[str, list[int]] = {}
    for name, module in model.named_modules():
        size = getattr(module, "in_features", None)
        if isinstance(module, BaseTunerLayer) and isinstance(size, int):
            sizes.setdefault(name.rpartition(".")[0], []).append(size)
    return 4 * sum(sum(each) if width < 4 else sum(set(each)) for each in sizes.values())


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
            ("CPU used by other programs", taken),
            ("memory: measured at its peak", f"{self.peak_memory_bytes / 2**20:,.0f} MiB"),
        ]


def time_steps(config: RunConfig, data: Data, steps: int) -> Timing:
    """Load the weights, train a few steps on the run's rows, and discard the result."""
    loaded = load_model(config.model)
    set_seed(config.training.seed)
    model = attach(loaded.model, adapter_config(config.adapter))
    timed = min(TIMED, steps)
    budget = replace(config.training, max_steps=timed)
    found = fit(model, data.train, loaded.tokenizer.pad_token_id, budget, "timing")
    assert found.step_seconds_median is not None
    whole = found.basis_seconds + found.step_seconds_median * steps
    return Timing(
        steps=timed,
        step_seconds=found.step_seconds_median,
        peak_memory_bytes=found.peak_memory_bytes,
        whole_seconds=whole,
        basis_seconds=found.basis_seconds,
        cpu_by_others=found.cpu_by_others,
        load_average=found.load_average,
    )
