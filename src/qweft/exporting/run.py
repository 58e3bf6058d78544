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
from qweft.evaluation.run import Preview
from qweft.evaluation.saved import base_model, changed, changes_the_base, put_on, shapes_of, weights_of
from qweft.evaluation.scores import HeldOutLoss
from qweft.exporting.config import LORAS
from qweft.exporting.linearise import LayerFit, fan_in_fan_out, layers_of, linearise
from qweft.exporting.lora import Lora, lora_config, plain_lora, trained_whole
from qweft.exporting.low_rank import RANKS, Factors, all_factors, lora_of, smallest
from qweft.exporting.measure import Batch, distil, measure, replaced
from qweft.exporting.merging import changes, merged, tuner_layers, with_lora
from qweft.exporting.plan import REPORT, ExportPlan, first_rows, load_rows, plan_export
from qweft.exporting.report import ExportReport
from qweft.exporting.write import WRITERS, Made, check_target
from qweft.files import folder_beside, leftovers, remove, stamp
from qweft.method.saved import read_saved
from qweft.method.shipping import is_plain_lora, method_name
from qweft.models.load import LoadedModel, load_model
from qweft.output import Console
from qweft.records import write_record
from qweft.text import many

NAME = "default"
CHOICE_TOKENS = 4096
"""Calibration tokens on which a rank is chosen."""
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
    elif plan.config.to in LORAS and not isinstance(saved, QwthnConfig) and not is_plain_lora(read_saved(adapter)):
        lines.append(f"a LoRA fitted on {total_tokens(calibration):,} tokens of {plan.calibration_source}")
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
    is_changed: bool
    """Whether the adapter's file changed weights of the base model as it was loaded."""

    @property
    def is_exact(self) -> bool:
        """Whether nothing is fitted: the adapter is a LoRA without a circuit, or is merged as it is."""
        if self.has_circuit:
            return False
        asked = self.plan.config.rank
        return self.plan.config.to not in LORAS or (self.rank is not None and (asked is None or asked >= self.rank))

    @property
    def is_own(self) -> bool:
        """Whether the adapter is a QWTHN adapter."""
        return isinstance(self.model.peft_config[NAME], QwthnConfig)

    @property
    def has_circuit(self) -> bool:
        """Whether a circuit is to be fitted."""
        return self.is_own and any(
            layer.qwthn_core[NAME].circuit_features for layer in layers_of(self.model, NAME).values()
        )

    @property
    def rank(self) -> int | None:
        """The rank of the LoRA that the adapter is or has; `None` if it has none."""
        if self.is_own:
            return max(layer.qwthn_r[NAME] for layer in layers_of(self.model, NAME).values())
        return plain_lora(self.model, NAME).rank if is_plain_lora(read_saved(self.plan.adapter)) else None

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

    def loss(self, model: Any, rows: Sequence[Encoded]) -> HeldOutLoss:
        """Return a model's loss on some rows."""
        return held_out_loss(model, rows, int(self.loaded.tokenizer.pad_token_id), self.plan.evaluation.batch_size)

    def base_loss(self, rows: Sequence[Encoded]) -> HeldOutLoss:
        """Return the loss of the base model."""
        with base_model(self.is_changed, self.model, self.plan.model) as base:
            return self.loss(base, rows)


def _open(plan: ExportPlan) -> _Opened:
    state = state_of(plan.adapter)
    loaded = load_model(plan.model)
    is_lora = read_saved(plan.adapter).get("peft_type") in ("QWTHN", "LORA")
    if getattr(loaded.model, "is_quantized", False) and not (is_lora and plan.config.to in LORAS):
        loaded = _dequantised(loaded)
    held_out, calibration = load_rows(plan, loaded.tokenizer)
    check_room(loaded.model, [*held_out, *calibration])
    before = weights_of(loaded.model, plan.adapter)
    model = put_on(loaded, plan.adapter)
    is_changed = changed(before, model)
    if is_changed and plan.config.to in LORAS:
        raise changes_the_base(plan.adapter, "a LoRA on that model would be another one; give --to merged")
    check_target(plan.config.to, model.get_base_model(), loaded.tokenizer)
    tokenizer = in_words(with_template(loaded.tokenizer, plan.held_out.template))
    opened = _Opened(plan, loaded, model, tokenizer, held_out, calibration, state, is_changed)
    if plan.config.distill_steps and opened.is_exact:
        raise QweftError("distill_steps: nothing is fitted, so the export is exact; leave distill_steps out")
    return opened


def _dequantised(loaded: LoadedModel) -> LoadedModel:
    """Return a model with its quantised weights as numbers, which an adapter can be added to."""
    try:
        model = loaded.model.dequantize(loaded.dtype)
    except (NotImplementedError, AttributeError, ValueError, TypeError) as error:
        raise QweftError(
            f"transformers does not dequantise {loaded.source.name} ({' '.join(str(error).split())[:200]}); name the "
            "model that is not quantised with --model.name"
        ) from error
    return replace(loaded, model=model.eval())


def _fit(opened: _Opened) -> tuple[Lora | None, list[LayerFit]]:
    """Return the LoRA, and how well it fits each layer; `None` if the adapter itself is merged."""
    model, config, rank = opened.model, opened.plan.config, opened.plan.config.rank
    if opened.is_exact and config.to not in LORAS:
        return None, []
    console = Console(stderr=True)
    batches = [] if opened.is_exact else opened.batches(opened.calibration)
    if batches:
        tokens = total_tokens(opened.calibration)
        console.print(f"fitting a LoRA on {tokens:,} tokens of {opened.plan.calibration_source}")
    inputs = [{key: batch[key] for key in ("input_ids", "attention_mask")} for batch in batches]
    fits: list[LayerFit] = []
    lora: Lora | None = None
    if opened.is_own:
        lora, fits = linearise(model, inputs, NAME)
    elif opened.rank is not None:
        lora = plain_lora(model, NAME)
    if lora is None or (rank is not None and rank < lora.rank):
        of = changes(model) if lora is None else lora.changes(tuner_layers(model))
        found = all_factors(model, of, inputs, rank or RANKS[-1])
        whole = trained_whole(model, NAME) if lora is None else lora.whole
        lora, fits = lora_of(found, rank or _chosen(opened, found), whole)
    made = sum(tensor.numel() for tensor in lora.tensors().values())
    console.print(f"the adapter becomes a LoRA of rank {lora.rank} with {made:,} parameters", highlight=False)
    if config.distill_steps:
        lora, losses = distil(model, lora, batches, config.distill_steps, config.distill_learning_rate)
        console.print(f"distillation: KL {losses[0]:.5f} -> {losses[-1]:.5f} nats a token")
    return lora, fits


def _chosen(opened: _Opened, found: Mapping[str, Factors]) -> int:
    """Return the smallest rank that keeps the share of the gain that is asked for, on some of the calibration rows."""
    rows = first_rows(opened.calibration, CHOICE_TOKENS)
    base, adapter = opened.base_loss(rows).loss, opened.loss(opened.model, rows).loss

    def keeps(rank: int) -> bool:
        with replaced(opened.model, lora_of(found, rank, {})[0]):
            return base - opened.loss(opened.model, rows).loss >= opened.plan.config.keep_share * (base - adapter)

    return smallest(keeps)


def _measure(opened: _Opened, lora: Lora | None, fits: Sequence[LayerFit]) -> ExportReport:
    plan, pad = opened.plan, int(opened.loaded.tokenizer.pad_token_id)
    fitted = lora if opened.is_own or not opened.is_exact else None
    base = opened.base_loss(opened.held_out)
    measured = measure(opened.model, fitted, base, opened.held_out, pad, plan.evaluation.batch_size)
    return ExportReport(
        adapter=plan.adapter,
        output=plan.output,
        to=plan.config.to,
        model=opened.loaded.source.origin,
        hub_id=opened.loaded.source.hub_id,
        method=method_name(read_saved(plan.adapter)),
        has_circuit=opened.has_circuit,
        calibration=plan.calibration_source if fits else None,
        calibration_tokens=total_tokens(opened.calibration) if fits else 0,
        distill_steps=plan.config.distill_steps,
        held_out=f"{plan.held_out.source}, {plan.evaluation.split} rows",
        measured=measured,
        rank=None if lora is None else lora.rank,
        parameters=None if lora is None else sum(tensor.numel() for tensor in lora.tensors().values()),
        modules_to_save=sorted(getattr(opened.model.peft_config[NAME], "modules_to_save", None) or []),
        layers=fits,
        largest_lost_share=plan.config.largest_lost_share,
    )


def _write(opened: _Opened, lora: Lora | None, report: ExportReport, force: bool) -> ExportReport:
    """Write the folder atomically, if the model that is read from it reproduces the measured logits."""
    model, source = opened.model, opened.loaded.source
    with nullcontext() if lora is None else replaced(model, lora):
        wanted = opened.logits(model)
    made = None
    if lora is not None:
        transposed = fan_in_fan_out(tuner_layers(model))
        made = lora, lora_config(lora, model.get_base_model(), model.peft_config[NAME], transposed, source.hub_id)
        model = detach(model)
    if report.to not in LORAS:
        model = merged(model if made is None else with_lora(model, *made))
    with folder_beside(report.output) as temporary:
        name = source.hub_id or report.public()["model"]
        written = _written(temporary, Made(model, opened.tokenizer, name, made), report)
        difference = (opened.logits(written) - wanted).abs().max().item()
        is_float32 = opened.loaded.dtype == torch.float32
        tolerance = TOLERANCE if is_float32 else HALF_TOLERANCE
        if not difference <= tolerance * wanted.abs().max().item():
            raise QweftError(
                f"the export, read back, differs from what was measured by {difference:.3g} in a logit; nothing was "
                f"written: {'please report this' if is_float32 else 'give --model.dtype float32'}"
            )
        relative = difference / wanted.abs().max().item()
        report = replace(report, written_logit_difference=difference, written_relative_difference=relative)
        if report.to not in LORAS and not is_float32:
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
