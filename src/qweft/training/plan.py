"""Parameters, steps and memory of a run, computed from shapes without loading weights."""

from dataclasses import asdict, dataclass, field, replace
from typing import Any

from peft.tuners.tuners_utils import BaseTunerLayer
from rich.console import Group
from rich.table import Table
from rich.text import Text

from qweft.adapter.attach import adapter_config, attach
from qweft.adapter.config import QwthnConfig
from qweft.adapter.counting import count_parameters, function_on, function_parameters
from qweft.adapter.fixed_maps import COMPRESS, EXPAND
from qweft.adapter.layer import QwthnLinear
from qweft.data.load import load_data
from qweft.devices.on_chips import ChipTraining, on_chips
from qweft.evaluation.checks import check_evaluation
from qweft.evaluation.loss import check_room
from qweft.method.names import TWINS, function_of, has_circuit
from qweft.method.specification import check_on_quantized
from qweft.models.load import choose_device, choose_dtype, load_model
from qweft.models.quantization import quantized_as
from qweft.models.resolve import resolve
from qweft.training.checks import check_settings
from qweft.training.config import RunConfig
from qweft.training.estimates import Footprint, Timing, fixed_tensors, footprint, time_steps
from qweft.training.loop import few_steps, planned_steps, planned_tokens


@dataclass(frozen=True)
class Plan:
    """The plan of a run."""

    model: str
    adapter: dict[str, Any]
    layers: int
    trainable: int
    fixed: int
    data: str
    memory: Footprint
    rate: str
    steps: int | None = None
    warnings: list[str] = field(default_factory=list)
    parts: dict[str, int] = field(default_factory=dict)
    twin: dict[str, Any] | None = None
    lora: int | None = None
    modes: list[str] = field(default_factory=list)
    timing: Timing | None = None
    chips: ChipTraining | None = None

    @property
    def difference(self) -> float | None:
        """Trained parameters relative to LoRA's in percent: -75.5 means 75.5% fewer."""
        return None if not self.lora else 100 * (self.trainable / self.lora - 1)

    def to_json(self) -> dict[str, Any]:
        """Return the plan as JSON can hold it."""
        return {
            "model": self.model,
            "adapter": self.adapter,
            "adapted_layers": self.layers,
            "trainable_parameters": self.trainable,
            "fixed_numbers": self.fixed,
            "parts": self.parts,
            "twin": self.twin,
            "lora_parameters": self.lora,
            "difference_to_lora": None if self.difference is None else f"{self.difference:+.1f}%",
            "modes": self.modes,
            "steps": self.steps,
            "data": self.data,
            "memory_bytes": self.memory.to_json(),
            "timing": None if self.timing is None else asdict(self.timing),
            "chips": None if self.chips is None else self.chips.to_json(),
            "warnings": self.warnings,
        }

    def describe(self) -> Group:
        """Return the plan as a table for the terminal."""
        table = Table(show_header=False, title=f"{self.model}")
        table.add_column()
        table.add_column(justify="right")
        for name, value in self.parts.items():
            table.add_row(name.replace("_", " "), f"{value:,}")
        table.add_row(f"trainable parameters ({self.layers} layers)", f"{self.trainable:,}", style="bold")
        if self.fixed:
            table.add_row("not trained, in the adapter's file", f"{self.fixed:,}")
        if self.lora is not None and self.difference is not None:
            table.add_row("LoRA of the same rank", f"{self.lora:,}")
            table.add_row("difference to LoRA", f"{self.difference:+.1f}%", style="bold")
        if self.steps is not None:
            table.add_row("steps", f"{self.steps:,}")
        for name, value in self.memory.to_json().items():
            said = "total, without PyTorch itself" if name == "total" else name.replace("_", " ")
            table.add_row(f"memory: {said}", f"{value / 2**20:,.0f} MiB")
        for timed in self.timing.lines() if self.timing else ():
            table.add_row(*timed)
        twin = []
        if self.twin is not None:
            twin = [
                f"{self.twin['name']} twin: {self.twin['trained']} numbers a layer for {self.twin['angles']} angles"
            ]
        modes = [f"modes {text}" for text in self.modes]
        lines = [Text(line) for line in [*twin, *modes, self.rate, self.data]]
        lines += [Text(f"warning: {warning}", style="yellow") for warning in self.warnings]
        return Group(table, *lines, *([self.chips.describe()] if self.chips is not None else []))


def plan(config: RunConfig, timed: bool = False, chips: bool = False) -> Plan:
    """Plan a run: attach the adapter on the meta device, count its parameters, and estimate memory."""
    check_settings(config)
    peft_config = adapter_config(config.adapter)
    # the dtype that the run would choose on its own device, not on meta
    device, source = choose_device(config.model.device), resolve(config.model)
    dtype: Any = str(choose_dtype(config.model.dtype, device, source)).removeprefix("torch.")
    loaded = load_model(replace(config.model, device="meta", dtype=dtype))
    check_on_quantized(config.adapter, quantized_as(loaded.model))
    data = load_data(config.data, loaded.tokenizer) if loaded.tokenizer is not None else None
    if data is not None:
        config = replace(config, training=config.training.for_rows(len(data.train)))
        check_evaluation(config.evaluation, data.config)
        check_room(loaded.model, data.rows(config.evaluation.split))
    model = attach(loaded.model, peft_config)
    trainable = int(model.get_nb_trainable_parameters()[0])
    shapes = [
        (layer.in_features, layer.out_features, layer.qwthn_r["default"])
        for layer in model.modules()
        if isinstance(layer, QwthnLinear)
    ]
    rows = [] if data is None else data.train
    longest = max((len(row["input_ids"]) for row in rows), default=config.data.max_length)
    planned = Plan(
        model=loaded.source.origin,
        adapter=dict(config.adapter),
        layers=len(shapes) or sum(isinstance(module, BaseTunerLayer) for module in model.modules()),
        trainable=trainable,
        fixed=sum(tensor.numel() for tensor in fixed_tensors(model)),
        data="data: not read, since the model has no tokenizer here" if data is None else data.report.describe(),
        memory=footprint(model, trainable, config.training, longest),
        rate=config.rate_line_at(planned_steps(config.training, rows) if rows else None),
    )
    if data is not None:
        steps, note = planned_steps(config.training, rows), few_steps(config.training, rows)
        timing = time_steps(config, data, steps) if timed else None
        planned = replace(planned, steps=steps, warnings=[note] if note else [], timing=timing)
    if not isinstance(peft_config, QwthnConfig):
        return planned
    planned = _with_qwthn(planned, peft_config, shapes)
    if not chips or planned.steps is None or not has_circuit(peft_config.core):
        return planned
    functions = [function_on(peft_config, r) for _, _, r in shapes]
    on_devices = on_chips(
        [function.circuit for function in functions if function.circuit is not None],
        *planned_tokens(config.training, rows, planned.steps),
        trained=all(function.trained for function in functions),
    )
    return replace(planned, chips=on_devices)


def _with_qwthn(plain: Plan, config: QwthnConfig, shapes: list[tuple[int, int, int]]) -> Plan:
    counts = [count_parameters(config, into, out, r) for into, out, r in shapes]
    parts = {name: sum(count[name] for count in counts) for name in counts[0]}
    lora = sum(r * (into + out) for into, out, r in shapes)
    uses_mpo = any("bond_dimension" in kind.sizes for kind in (COMPRESS[config.compress], EXPAND[config.expand]))
    sizes = sorted({size for into, out, _ in shapes for size in (into, out)} | {config.width}) if uses_mpo else []
    at = config.resolved()
    modes = [at.modes_of(size) for size in sizes]
    warnings = [*plain.warnings] + [
        f"size {entry.size} has no useful factors and is padded to {entry.padded} ({entry.padding / entry.size:.1%})"
        for entry in modes
        if entry.padding
    ]
    twin, name = None, function_of(config.core)
    if name is not None:
        circuit = at.ansatz
        if name not in TWINS and (dead := circuit.dead_parameters()):
            warnings.append(f"{len(dead)} angles of each circuit, of its last diagonal gates, have no gradient")
        if name in TWINS:
            twin = {"name": name, "trained": function_parameters(config, config.r), "angles": circuit.parameters}
    saving = 1 - plain.trainable / lora
    if uses_mpo and saving <= 0:
        warnings.append(
            f"width {config.width} and bond dimension {config.bond_dimension} cost {-saving:.0%} more than LoRA of the "
            "same rank on this model; lower them"
        )
    return replace(
        plain,
        parts=parts,
        twin=twin,
        lora=lora,
        modes=[str(entry) for entry in modes],
        warnings=warnings,
    )
