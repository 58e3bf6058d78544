"""Parameters, steps and memory of a run, computed from shapes without loading weights; its duration, from few steps."""

from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from rich.console import Group
from rich.table import Table
from rich.text import Text
from torch import nn
from transformers import set_seed

from qweft.adapter.attach import adapter_config, attach
from qweft.adapter.branch import count_parameters
from qweft.adapter.config import QwthnConfig
from qweft.adapter.layer import QwthnLinear
from qweft.core.environment import ALONE, share_said
from qweft.data.load import Data, load_data
from qweft.evaluation.loss import check_room
from qweft.method.names import TWINS, function_of
from qweft.method.specification import check_on_quantized
from qweft.models.device import choose_device, choose_dtype
from qweft.models.load import load_model
from qweft.models.quantization import bits_of, quantized_as
from qweft.models.resolve import resolve
from qweft.training.checks import check_settings
from qweft.training.config import RunConfig, TrainingConfig
from qweft.training.loop import few_steps, fit, planned_steps

TIMED = 4
"""Steps to time; the first one is slower, and the median ignores it."""
LOGIT_BYTES = 12
"""Bytes of a logit at the peak: logits in the model's type, softmax, gradient, and what is cast between them."""
ABSMAX_BYTES = 4 / 64
"""Bytes of a weight's share in the scale of its block, in bitsandbytes' 4 bits without nested quantization."""
BLOCK_STATES = 12
"""Tensors of the hidden size that a block of Llama keeps per token for the backward pass."""
MLP_STATES = 3
"""Tensors of the intermediate size that it keeps: gate, its activation, up."""


@dataclass(frozen=True)
class Timing:
    """Times and memory of a few steps on this machine; `whole_seconds` is for all steps and the bases."""

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
        taken = "not known" if self.cpu_by_others is None else share_said(self.cpu_by_others)
        if (self.cpu_by_others or 0) > ALONE:
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
    run = fit(model, data.train, loaded.tokenizer.pad_token_id, budget, "timing")
    assert run.step_seconds_median is not None
    return Timing(
        steps=timed,
        step_seconds=run.step_seconds_median,
        peak_memory_bytes=run.peak_memory_bytes,
        whole_seconds=run.basis_seconds + run.step_seconds_median * steps,
        basis_seconds=run.basis_seconds,
        cpu_by_others=run.cpu_by_others,
        load_average=run.load_average,
    )


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


@dataclass(frozen=True)
class Plan:
    """The plan of a run, with numbers by part and LoRA's of the same rank for this method alone."""

    model: str
    adapter: dict[str, Any]
    adapted_layers: int
    trainable_parameters: int
    fixed_numbers: int
    data: str
    memory_bytes: Footprint
    rate: str
    steps: int | None = None
    warnings: list[str] = field(default_factory=list)
    parts: dict[str, int] = field(default_factory=dict)
    twin: dict[str, Any] | None = None
    lora_parameters: int | None = None
    modes: list[str] = field(default_factory=list)
    timing: Timing | None = None

    @property
    def difference_to_lora(self) -> str | None:
        """Trained parameters relative to LoRA's: -75.5% means 75.5% fewer."""
        lora = self.lora_parameters
        return f"{100 * (self.trainable_parameters / lora - 1):+.1f}%" if lora else None

    def to_json(self) -> dict[str, Any]:
        """Return the plan as JSON can hold it."""
        return {
            **asdict(self),
            "difference_to_lora": self.difference_to_lora,
            "memory_bytes": self.memory_bytes.to_json(),
        }

    def describe(self) -> Group:
        """Return the plan as a table for the terminal."""
        table = Table(show_header=False, title=f"{self.model}")
        table.add_column()
        table.add_column(justify="right")
        for name, value in self.parts.items():
            table.add_row(name.replace("_", " "), f"{value:,}")
        table.add_row(
            f"trainable parameters ({self.adapted_layers} layers)", f"{self.trainable_parameters:,}", style="bold"
        )
        if self.fixed_numbers:
            table.add_row("not trained, in the adapter's file", f"{self.fixed_numbers:,}")
        if self.lora_parameters:
            table.add_row("LoRA of the same rank", f"{self.lora_parameters:,}")
            table.add_row("difference to LoRA", self.difference_to_lora, style="bold")
        if self.steps is not None:
            table.add_row("steps", f"{self.steps:,}")
        for name, value in self.memory_bytes.to_json().items():
            part = "total, without PyTorch itself" if name == "total" else name.replace("_", " ")
            table.add_row(f"memory: {part}", f"{value / 2**20:,.0f} MiB")
        for timed in self.timing.lines() if self.timing else ():
            table.add_row(*timed)
        lines = [f"modes {text}" for text in self.modes]
        if self.twin is not None:
            lines.insert(0, "{name} twin: {trained} numbers a layer for {angles} angles".format(**self.twin))
        warnings = [Text(f"warning: {warning}", style="yellow") for warning in self.warnings]
        return Group(table, *map(Text, (*lines, self.rate, self.data)), *warnings)


def plan(config: RunConfig, timed: bool = False) -> Plan:
    """Plan a run: attach the adapter on the meta device, count its parameters, and estimate memory."""
    check_settings(config)
    peft_config = adapter_config(config.adapter)
    # the dtype that the run would choose on its own device, not on meta
    device, source = choose_device(config.model.device), resolve(config.model)
    dtype: Any = str(choose_dtype(config.model.dtype, device, source)).removeprefix("torch.")
    loaded = load_model(replace(config.model, device="meta", dtype=dtype))
    check_on_quantized(config.adapter, quantized_as(loaded.model))
    data = load_data(config.data, loaded.tokenizer) if loaded.tokenizer is not None else None
    rows, steps, warnings = [], None, list[str]()
    if data is not None:
        rows = data.train
        config = replace(config, training=config.training.for_rows(len(rows)))
        check_room(loaded.model, data.rows(config.evaluation.split))
        steps, note = planned_steps(config.training, rows), few_steps(config.training, rows)
        warnings += [note] if note else []
    model = attach(loaded.model, peft_config)
    trainable = int(model.get_nb_trainable_parameters()[0])
    shapes = [
        (layer.in_features, layer.out_features, layer.qwthn_r["default"])
        for layer in model.modules()
        if isinstance(layer, QwthnLinear)
    ]
    longest = max((len(row["input_ids"]) for row in rows), default=config.data.max_length)
    planned = Plan(
        model=loaded.source.origin,
        adapter=dict(config.adapter),
        adapted_layers=len(shapes) or sum(isinstance(module, BaseTunerLayer) for module in model.modules()),
        trainable_parameters=trainable,
        fixed_numbers=sum(tensor.numel() for tensor in fixed_tensors(model)),
        data="data: not read, since the model has no tokenizer here" if data is None else data.report.describe(),
        memory_bytes=footprint(model, trainable, config.training, longest),
        rate=config.rate_line_at(steps),
        steps=steps,
        warnings=warnings,
        timing=time_steps(config, data, steps) if timed and data is not None and steps is not None else None,
    )
    if not isinstance(peft_config, QwthnConfig):
        return planned
    return _with_qwthn(planned, peft_config, shapes)


def _with_qwthn(plain: Plan, config: QwthnConfig, shapes: list[tuple[int, int, int]]) -> Plan:
    """Return the plan with what is known of this method: its parts, its modes, LoRA's numbers, and warnings."""
    counts = [count_parameters(config, into, out, r) for into, out, r in shapes]
    lora = sum(r * (into + out) for into, out, r in shapes)
    uses_mpo = "mpo" in (config.compress, config.expand)
    sizes = sorted({size for into, out, _ in shapes for size in (into, out)} | {config.width}) if uses_mpo else []
    at = config.resolved()
    modes = [at.modes_of(size) for size in sizes]
    warnings = plain.warnings + [
        f"size {entry.size} has no useful factors and is padded to {entry.padded} ({entry.padding / entry.size:.1%})"
        for entry in modes
        if entry.padding
    ]
    twin, name = None, function_of(config.core)
    if name in TWINS:
        trained = count_parameters(config, *shapes[0][:2])["twin"]
        twin = {"name": name, "trained": trained, "angles": at.ansatz.parameters}
    elif name is not None and (dead := at.ansatz.dead_parameters()):
        warnings.append(f"{len(dead)} angles of each circuit, of its last diagonal gates, have no gradient")
    saving = 1 - plain.trainable_parameters / lora
    if uses_mpo and saving <= 0:
        warnings.append(
            f"width {config.width} and bond dimension {config.bond_dimension} cost {-saving:.0%} more than LoRA of the "
            "same rank on this model; lower them"
        )
    return replace(
        plain,
        parts={name: sum(count[name] for count in counts) for name in counts[0]},
        twin=twin,
        lora_parameters=lora,
        modes=[str(entry) for entry in modes],
        warnings=warnings,
    )
