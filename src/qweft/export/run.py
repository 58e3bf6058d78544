"""`qweft export`: an adapter made into a plain LoRA, measured, written, and read back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from rich.console import Console

from qweft.adapter.attach import detach, quiet_peft
from qweft.data.collate import Collator
from qweft.data.config import DataConfig
from qweft.data.load import Data, load_data
from qweft.data.read import read_rows
from qweft.data.tokens import Encoded
from qweft.errors import QweftError
from qweft.evaluation.checks import check_evaluation
from qweft.evaluation.config import EvaluationConfig
from qweft.evaluation.mode import device_of
from qweft.evaluation.saved import put_on, run_config, sections_of
from qweft.export.config import ExportConfig, check_export
from qweft.export.distil import distil
from qweft.export.linearise import fan_in_fan_out, layers_of, linearise
from qweft.export.lora import Lora, lora_config, write_lora
from qweft.export.measure import measure, on_device
from qweft.export.report import ExportReport
from qweft.export.twin import read_twin, twin
from qweft.files import check_writable, folder_beside
from qweft.models.load import LoadedModel, load_model

SECTIONS = ("model", "data", "evaluation")
HELD_OUT_SHARE = 4
"""Of a file that brings no split of its own, every so many-th row is held out, up to the usual number."""
NAME = "default"
TOLERANCE, HALF_TOLERANCE = 1e-4, 5e-2
"""Largest difference of a logit between the measured and the written LoRA, as a share of the largest logit: in float32,
and where the base model is of half that precision, which the two compute in another order."""


@dataclass(frozen=True)
class _Bench:
    """Everything that an export works with."""

    loaded: LoadedModel
    model: Any
    data: Data
    data_config: DataConfig
    judging: EvaluationConfig

    def batches(self, rows: Sequence[Encoded]) -> list[dict[str, torch.Tensor]]:
        """The rows as the model takes them."""
        collate, size = Collator(self.loaded.tokenizer.pad_token_id), self.judging.batch_size
        parts = (collate(rows[start : start + size]) for start in range(0, len(rows), size))
        return [on_device(part, device_of(self.model)) for part in parts]

    @property
    def held_out(self) -> list[Encoded]:
        return self.data.test if self.judging.split == "test" else self.data.validation


def export(adapter: Path, options: Mapping[str, Any] | None = None, force: bool = False) -> ExportReport:
    """Make a plain LoRA of an adapter, unless it loses too much of what the adapter gains.

    Args:
        adapter: A folder with adapter_config.json and adapter_model.safetensors.
        options: Fields of `ExportConfig`; of its sections only what differs from the run that trained the adapter.
        force: Write the export whatever it loses.

    Returns:
        What it came to. Where `refusal` says why it is not good enough and `force` is false, nothing was written.

    Raises:
        QweftError: If the folder holds no QWTHN adapter, an option is wrong, model or data cannot be had, or the
            output folder holds something that is no export.
    """
    given = dict(options or {})
    overrides = {name: given.pop(name) for name in SECTIONS if name in given}
    config = ExportConfig(**given)
    check_export(config)
    output = Path(config.output) if config.output else adapter.parent / "lora"
    _check_output(output, adapter)
    bench = _set_up(adapter, config, overrides)
    console = Console(stderr=True)
    has_circuit = any(layer.qwthn_core[NAME].circuit_features for layer in layers_of(bench.model, NAME).values())
    rows = _calibration_rows(bench.data.train, config.calibration_tokens)
    batches = bench.batches(rows)
    if has_circuit:
        console.print(f"fitting the circuits on {_tokens(rows):,} tokens of {bench.data_config.source}")
    inputs = [{key: batch[key] for key in ("input_ids", "attention_mask")} for batch in batches]
    lora, fits = linearise(bench.model, inputs, NAME)
    with twin(bench.model, lora, NAME) as exported:
        if config.distill_steps:
            losses = distil(bench.model, NAME, exported, batches, config.distill_steps, config.distill_learning_rate)
            console.print(f"distillation: KL {losses[0]:.5f} -> {losses[-1]:.5f} nats a token")
            lora = read_twin(bench.model, lora, exported)
        pad = bench.loaded.tokenizer.pad_token_id
        measured = measure(bench.model, NAME, exported, bench.held_out, pad, bench.judging.batch_size)
        probe = bench.batches(bench.held_out[:1])[0]
        bench.model.set_adapter(exported)
        wanted = _logits(bench.model, probe)
    fitted_on = bench.data_config.source if has_circuit or config.distill_steps else None
    report = ExportReport(
        adapter=adapter,
        output=output,
        model=bench.loaded.source.origin,
        calibration=fitted_on,
        calibration_tokens=_tokens(rows) if fitted_on else 0,
        distill_steps=config.distill_steps,
        held_out=f"{bench.data_config.source}, {bench.judging.split} rows",
        measured=measured,
        rank=lora.rank,
        parameters=sum(tensor.numel() for tensor in lora.tensors().values()),
        layers=fits,
        largest_lost_share=config.largest_lost_share,
    )
    if report.refusal is None or force:
        _write(bench, lora, report, probe, wanted)
    return report


def _check_output(output: Path, adapter: Path) -> None:
    """Refuse to write over anything but an earlier export."""
    if output.resolve() == adapter.resolve():
        raise QweftError(f"output {output} is the adapter itself; choose another --output")
    if output.exists() and not (output / "export.json").is_file() and any(output.iterdir()):
        raise QweftError(f"output {output} holds something that is no export; choose another --output")
    check_writable(output.parent)


def _set_up(adapter: Path, config: ExportConfig, overrides: dict[str, Any]) -> _Bench:
    if config.calibration is not None:
        overrides = {**overrides, "data": {**overrides.get("data", {}), "source": config.calibration}}
    model_config, data_config, judging = sections_of(adapter, overrides)
    if data_config.source != run_config(adapter).get("data", {}).get("source"):
        data_config = _sized(data_config, overrides["data"])
    check_evaluation(judging, data_config)
    loaded = load_model(model_config)
    data = load_data(data_config, loaded.tokenizer)
    return _Bench(loaded, put_on(loaded, adapter), data, data_config, judging)


def _sized(config: DataConfig, given: Mapping[str, Any]) -> DataConfig:
    """Held-out rows in proportion, for text that the run's own numbers of rows were not meant for."""
    if "test_rows" in given or "validation_rows" in given:
        return config
    held_out = min(DataConfig().test_rows, max(1, sum(1 for _ in read_rows(config.source)) // HELD_OUT_SHARE))
    return replace(config, test_rows=held_out, validation_rows=held_out, train_rows=given.get("train_rows"))


def _calibration_rows(rows: Sequence[Encoded], tokens: int) -> list[Encoded]:
    """The first rows, up to so many tokens, but two at least."""
    taken: list[Encoded] = []
    for row in rows:
        if len(taken) >= 2 and _tokens([*taken, row]) > tokens:
            break
        taken.append(row)
    return taken


def _tokens(rows: Sequence[Encoded]) -> int:
    return sum(len(row["input_ids"]) for row in rows)


@torch.no_grad()
def _logits(model: Any, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
    logits: torch.Tensor = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    return logits.float()


def _write(
    bench: _Bench, lora: Lora, report: ExportReport, probe: Mapping[str, torch.Tensor], wanted: torch.Tensor
) -> None:
    """Write the folder, read it back with PEFT's own LoRA, and put it in its place if that gives the same logits."""
    layers = layers_of(bench.model, NAME)
    config = lora_config(lora, bench.model.get_base_model(), bench.model.peft_config[NAME], fan_in_fan_out(layers))
    base = detach(bench.model)
    with folder_beside(report.output) as beside:
        write_lora(beside, lora, config, report.card(), report.public())
        with quiet_peft():
            again = PeftModel.from_pretrained(base, str(beside)).eval()
        difference = (_logits(again, probe) - wanted).abs().max().item()
        tolerance = TOLERANCE if bench.loaded.dtype == torch.float32 else HALF_TOLERANCE
        if not difference <= tolerance * wanted.abs().max().item():
            raise QweftError(
                f"the exported LoRA, read back, differs from what was measured by {difference:.3g} in a logit; nothing "
                "was written: please report this"
            )
