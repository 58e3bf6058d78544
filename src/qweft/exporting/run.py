"""`qweft export`: fit a LoRA to an adapter, measure it, write it in a format, and check the written files."""

import os
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from qweft.adapter.attach import detach
from qweft.adapter.config import QwthnConfig
from qweft.adapter.folder import read_config
from qweft.claims import CLAIM, State, check_state, claimed_output, free_name, state_of
from qweft.data.batches import Collator
from qweft.data.template import in_words, with_template
from qweft.data.tokens import Encoded, total_tokens
from qweft.errors import QweftError, saying_when_stopped
from qweft.evaluation.loss import check_room, held_out_loss
from qweft.evaluation.preview import Preview, shapes_of
from qweft.evaluation.saved import put_beside_base
from qweft.exporting.linearise import LayerFit, fan_in_fan_out, layers_of, linearise, lora_size
from qweft.exporting.lora import Lora, lora_config, plain_lora
from qweft.exporting.measure import Batch, distil, measure, replaced
from qweft.exporting.plan import REPORT, ExportPlan, load_rows, plan_export
from qweft.exporting.report import ExportReport
from qweft.exporting.write import WRITERS, Made, check_target
from qweft.files import folder_beside, leftovers, remove, stamp
from qweft.models.load import LoadedModel, load_model
from qweft.output import Console
from qweft.records import write_record
from qweft.text import many

NAME = "default"
TOLERANCE, HALF_TOLERANCE = 1e-4, 5e-2
"""Largest logit difference between what was measured and what was written, over the largest logit.

In float32 and in half precision: both compute in a different order, and a merged weight is rounded again."""


def preview(adapter: Path, options: Mapping[str, Any] | None = None) -> Preview:
    """Return a summary of what `export` would do, without loading weights."""
    plan = plan_export(adapter, options)
    loaded, lines = shapes_of(adapter, plan.model)
    held_out, calibration = load_rows(plan, loaded.tokenizer)
    check_room(loaded.model, [*held_out, *calibration])
    saved = read_config(adapter)
    if isinstance(saved, QwthnConfig) and not saved.is_linear:
        lines.append(f"circuits fitted on {total_tokens(calibration):,} tokens of {plan.calibration_source}")
    if plan.config.distill_steps:
        lines.append(f"{many(plan.config.distill_steps, 'step')} of distillation after it")
    check_target(plan.config.to, loaded.model, loaded.tokenizer)
    lines.append(f"judged on {many(len(held_out), 'row')} of {plan.held_out.source} ({plan.evaluation.split})")
    return Preview((*lines, f"written to {plan.output}"))


def export(adapter: Path, options: Mapping[str, Any] | None = None, force: bool = False) -> ExportReport:
    """Export an adapter as a LoRA or as a merged model, unless it loses too much of the adapter's gain.

    Args:
        adapter: A folder with adapter_config.json and adapter_model.safetensors.
        options: Fields of `ExportConfig`. Its sections hold only keys that differ from the training run.
        force: Write the export even if it loses too much.

    Returns:
        The report. If its `refusal` is not `None` and `force` is false, nothing was written.

    Raises:
        QweftError: If the adapter cannot be exported to the format, an option is invalid, model or data cannot be
            loaded, the output folder contains anything but an export or is written by another process, or the written
            files do not reproduce the measured logits.
    """
    plan = plan_export(adapter, options)
    output = plan.output
    before = stamp(output / REPORT)

    def what_is_kept() -> str:
        if stamp(output / REPORT) not in (None, before):
            return f"the export is whole, in {output}"
        return "nothing was written; the same command begins anew"

    lock = output.with_name(f".{output.name}{CLAIM}")  # beside the folder, which is replaced as a whole
    with claimed_output(output, "qweft export", lock=lock), saying_when_stopped(what_is_kept):
        for path in leftovers(output.parent, (output.name,)):  # of a killed export, since this one holds the claim
            remove(path)
        opened = _open(plan)
        lora, fits = _fit(opened)
        report = _measure(opened, lora, fits)
        return _write(opened, lora, report, force) if report.refusal is None or force else report


@dataclass(frozen=True)
class _Opened:
    """The plan, the model with the adapter, a tokenizer with the run's template, the rows, the state of the files."""

    plan: ExportPlan
    loaded: LoadedModel
    model: Any
    tokenizer: Any
    held_out: list[Encoded]
    calibration: list[Encoded]
    state: State

    @property
    def is_own(self) -> bool:
        """Whether the adapter is a QWTHN adapter, and no LoRA."""
        return isinstance(self.model.peft_config[NAME], QwthnConfig)

    @property
    def has_circuit(self) -> bool:
        """Whether there is something to fit."""
        return self.is_own and any(
            layer.qwthn_core[NAME].circuit_features for layer in layers_of(self.model, NAME).values()
        )

    def batches(self, rows: Sequence[Encoded]) -> list[Batch]:
        """Return the rows as batches on the model's device."""
        collate, size = Collator(int(self.loaded.tokenizer.pad_token_id)), self.plan.evaluation.batch_size
        parts = (collate(rows[start : start + size]) for start in range(0, len(rows), size))
        return [{key: tensor.to(self.loaded.device) for key, tensor in part.items()} for part in parts]

    def logits(self, model: Any) -> torch.Tensor:
        """Return a model's float32 logits on the first held-out row."""
        batch = self.batches(self.held_out[:1])[0]
        with torch.no_grad():
            logits: torch.Tensor = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
        return logits.float()


def _open(plan: ExportPlan) -> _Opened:
    state = state_of(plan.adapter)
    loaded = load_model(plan.model)
    held_out, calibration = load_rows(plan, loaded.tokenizer)
    check_room(loaded.model, [*held_out, *calibration])
    way = "a LoRA on that model would be another one; export takes none with biases or embeddings of the base model"
    model = put_beside_base(loaded, plan.adapter, way)
    check_target(plan.config.to, model.get_base_model(), loaded.tokenizer)
    tokenizer = in_words(with_template(loaded.tokenizer, plan.held_out.template))
    opened = _Opened(plan, loaded, model, tokenizer, held_out, calibration, state)
    if plan.config.distill_steps and not opened.has_circuit:
        raise QweftError("distill_steps: the adapter has no circuit, so its LoRA is exact; leave distill_steps out")
    return opened


def _fit(opened: _Opened) -> tuple[Lora, list[LayerFit]]:
    """Return the LoRA, and how well it fits each layer's circuit."""
    if not opened.is_own:
        return plain_lora(opened.model, NAME), []
    console, config = Console(stderr=True), opened.plan.config
    trained = sum(tensor.numel() for name, tensor in opened.model.named_parameters() if ".qwthn_" in name)
    rank, made = lora_size(opened.model, NAME)
    console.print(f"the adapter's {trained:,} parameters become a LoRA of rank {rank} with {made:,}", highlight=False)
    batches = opened.batches(opened.calibration) if opened.has_circuit else []
    if batches:
        tokens = total_tokens(opened.calibration)
        console.print(f"fitting the circuits on {tokens:,} tokens of {opened.plan.calibration_source}")
    inputs = [{key: batch[key] for key in ("input_ids", "attention_mask")} for batch in batches]
    lora, fits = linearise(opened.model, inputs, NAME)
    if config.distill_steps:
        lora, losses = distil(opened.model, lora, batches, config.distill_steps, config.distill_learning_rate)
        console.print(f"distillation: KL {losses[0]:.5f} -> {losses[-1]:.5f} nats a token")
    return lora, fits


def _measure(opened: _Opened, lora: Lora, fits: Sequence[LayerFit]) -> ExportReport:
    plan, pad = opened.plan, int(opened.loaded.tokenizer.pad_token_id)
    measured = measure(opened.model, lora if opened.is_own else None, opened.held_out, pad, plan.evaluation.batch_size)
    return ExportReport(
        adapter=plan.adapter,
        output=plan.output,
        to=plan.config.to,
        model=opened.loaded.source.origin,
        hub_id=opened.loaded.source.hub_id,
        is_own=opened.is_own,
        calibration=plan.calibration_source if opened.has_circuit else None,
        calibration_tokens=total_tokens(opened.calibration) if opened.has_circuit else 0,
        distill_steps=plan.config.distill_steps,
        held_out=f"{plan.held_out.source}, {plan.evaluation.split} rows",
        measured=measured,
        rank=lora.rank,
        parameters=sum(tensor.numel() for tensor in lora.tensors().values()),
        modules_to_save=sorted(opened.model.peft_config[NAME].modules_to_save or []),
        layers=fits,
        largest_lost_share=plan.config.largest_lost_share,
    )


def _write(opened: _Opened, lora: Lora, report: ExportReport, force: bool) -> ExportReport:
    """Write the folder atomically, if the model that is read from it reproduces the measured logits."""
    model, source = opened.model, opened.loaded.source
    with replaced(model, lora) if opened.is_own else nullcontext():
        wanted = opened.logits(model)
    is_transposed = opened.is_own and fan_in_fan_out(layers_of(model, NAME))
    config = lora_config(lora, model.get_base_model(), model.peft_config[NAME], is_transposed, source.hub_id)
    made = Made(detach(model), opened.tokenizer, source.hub_id or report.public()["model"], lora, config)
    with folder_beside(report.output) as temporary:
        written = _written(temporary, made, report)
        difference = (opened.logits(written) - wanted).abs().max().item()
        is_exact = opened.loaded.dtype == torch.float32
        tolerance = TOLERANCE if is_exact else HALF_TOLERANCE
        if not difference <= tolerance * wanted.abs().max().item():
            raise QweftError(
                f"the export, read back, differs from what was measured by {difference:.3g} in a logit; nothing was "
                f"written: {'please report this' if is_exact else 'give --model.dtype float32'}"
            )
        report = replace(report, written_logit_difference=difference)
        if report.to in ("merged", "merged-gguf") and not is_exact:
            report = _judged_as_written(opened, written, report, force)
        (temporary / "README.md").write_text(report.card(), encoding="utf-8")
        files = sorted(path.relative_to(temporary).as_posix() for path in temporary.rglob("*") if path.is_file())
        write_record(temporary / REPORT, report.public() | {"files": files})
        check_state(report.adapter, opened.state)  # a training that begins anew renames the folder around both
        _keep_other(report.output, temporary, {*files, REPORT})
    return report


def _written(folder: Path, made: Made, report: ExportReport) -> Any:
    """Write an export; return the model as it is read back."""
    try:
        return WRITERS[report.to](folder, made).eval()
    except QweftError:
        raise
    except (OSError, SafetensorError) as error:  # a full disk raises either
        reason = (str(error).splitlines() or [""])[0][:200]
        raise QweftError(
            f"the export could not be written to {report.output} ({reason}); make room there, or allow writing"
        ) from error


def _keep_other(output: Path, new: Path, files: set[str]) -> None:
    """Rename an earlier export with another report, and one with files that were added or changed since."""
    report = output / REPORT
    if not report.is_file():
        return
    held = {path.relative_to(output).as_posix(): path for path in output.rglob("*") if not path.is_dir()}
    since = report.stat().st_mtime_ns  # it was written last
    is_changed = any(name not in files or path.lstat().st_mtime_ns > since for name, path in held.items())
    if is_changed or report.read_bytes() != (new / REPORT).read_bytes():
        aside = free_name(output)
        os.replace(output, aside)
        Console(stderr=True).say(f"the earlier export in {output} is another one or was changed, and is now {aside}")


def _judged_as_written(opened: _Opened, written: Any, report: ExportReport, force: bool) -> ExportReport:
    """Return the report with the loss of the merged model, whose weights half precision has rounded again.

    The differences of single logits were those of the adapter before that, and are left out.
    """
    pad = int(opened.loaded.tokenizer.pad_token_id)
    loss = held_out_loss(written, opened.held_out, pad, opened.plan.evaluation.batch_size).loss
    measured = replace(report.measured, exported_loss=loss, largest_logit_change=None, equal_greedy_share=None)
    report = replace(report, measured=measured)
    if report.refusal is not None and not force:
        dtype = str(opened.loaded.dtype).removeprefix("torch.")
        raise QweftError(
            f"{report.refusal}, as {dtype} rounds the merged weights; nothing was written: give --model.dtype float32, "
            "--to lora or gguf, or --force"
        )
    return report
