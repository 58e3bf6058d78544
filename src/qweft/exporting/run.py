"""`qweft export`: fit a LoRA to an adapter, measure it, write it in a format, and check the written files."""

import os
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from qweft.adapter.attach import detach
from qweft.core.claims import CLAIM, claimed_output
from qweft.core.errors import QweftError
from qweft.core.files import folder_beside, free_name
from qweft.core.output import Console
from qweft.core.records import write_record
from qweft.data.batches import Collator
from qweft.data.template import with_plain_template, with_template
from qweft.data.tokens import Encoded, total_tokens
from qweft.evaluation.loss import check_room, held_out_loss
from qweft.evaluation.saved import Subject, changed, changes_the_base, put_on, weights_of
from qweft.evaluation.scores import HeldOutLoss
from qweft.exporting.config import LORAS, check_gguf_type
from qweft.exporting.gguf import check_convertible
from qweft.exporting.linearise import layers_of, linearise
from qweft.exporting.lora import NAME, Lora, lora_config, plain_lora
from qweft.exporting.low_rank import RANKS, nearest
from qweft.exporting.measure import Batch, measure, replaced
from qweft.exporting.merging import changes, merged, with_lora
from qweft.exporting.plan import REPORT, ExportPlan, first_rows, load_rows, plan_export
from qweft.exporting.report import ExportReport
from qweft.exporting.write import write_beside, write_whole
from qweft.method.peft_methods import OWN
from qweft.method.saved import read_saved
from qweft.method.shipping import is_plain_lora, method_name
from qweft.models.load import load_model

CHOICE_TOKENS = 4096
"""Calibration tokens on which a rank is chosen."""
TOLERANCE, HALF_TOLERANCE = 1e-4, 5e-2
"""Largest logit difference between what was measured and what was written, over the largest logit.

In float32 and in half precision: both compute in a different order, and a merged weight is rounded again."""


def export(adapter: Path, options: Mapping[str, Any] | None = None, force: bool = False) -> ExportReport:
    """Export an adapter as a LoRA or as a merged model; return the report.

    `options` are fields of `ExportConfig`; its sections hold only keys that differ from the training run. Without
    `force` nothing is written if the report has a `refusal`. Raise `QweftError` for a wrong option, an adapter that the
    format cannot hold, or written files that do not reproduce the measured logits.
    """
    plan = plan_export(adapter, options)
    output = plan.output
    lock = output.with_name(f".{output.name}{CLAIM}")  # beside the folder, which is replaced as a whole
    with claimed_output(output, "qweft export", lock=lock):
        source = _open(plan)
        lora, explained = _fit(source)
        report = _measure(source, lora, explained)
        return _write(source, lora, report, force) if report.refusal is None or force else report


@dataclass(frozen=True)
class _Source:
    """The adapter on its base model, and the rows of text."""

    plan: ExportPlan
    subject: Subject
    calibration: Sequence[Encoded]

    @property
    def has_circuit(self) -> bool:
        """Whether a layer has a circuit, or a function in its place."""
        return any(layer.qwthn_core[NAME].circuit_features for layer in layers_of(self.subject.model).values())

    @property
    def pad(self) -> int:
        """The token that fills up rows."""
        return int(self.subject.loaded.tokenizer.pad_token_id)

    def batches(self, rows: Sequence[Encoded]) -> list[Batch]:
        """Return the inputs of the model for some rows, on its device."""
        collate, size, device = Collator(self.pad), self.plan.evaluation.batch_size, self.subject.loaded.device
        parts = (collate(rows[start : start + size]) for start in range(0, len(rows), size))
        return [{key: part[key].to(device) for key in ("input_ids", "attention_mask")} for part in parts]

    @torch.no_grad()
    def logits(self, model: Any) -> torch.Tensor:
        """Return a model's float32 logits on the first held-out row."""
        logits: torch.Tensor = model(**self.batches(self.subject.rows[:1])[0]).logits
        return logits.float()

    def loss(self, model: Any, rows: Sequence[Encoded]) -> HeldOutLoss:
        """Return a model's loss on some rows."""
        return held_out_loss(model, rows, self.pad, self.plan.evaluation.batch_size)


def _open(plan: ExportPlan) -> _Source:
    """Load the model, its rows and the adapter, and check that the export can be written."""
    saved, loaded = read_saved(plan.adapter), load_model(plan.model)
    to, is_lora = plan.config.to, plan.config.to in LORAS
    if "gguf" in to:
        check_gguf_type(loaded.model.config.model_type)
    if getattr(loaded.model, "is_quantized", False) and not (is_lora and saved.get("peft_type") in ("QWTHN", "LORA")):
        try:
            loaded = replace(loaded, model=loaded.model.dequantize(loaded.dtype).eval())
        except (NotImplementedError, AttributeError, ValueError, TypeError) as error:
            raise QweftError(
                f"transformers does not dequantise {loaded.source.name}; name the model that is not quantised with "
                "--model.name"
            ) from error
    data, calibration = load_rows(plan, loaded.tokenizer)
    check_room(loaded.model, [*data.held_out(plan.evaluation.split), *calibration])
    before = weights_of(loaded.model, plan.adapter)
    model = put_on(loaded, plan.adapter)
    subject = Subject(plan.adapter, model, loaded, data, plan.evaluation, plan.model, changed(before, model))
    if subject.is_changed and is_lora:
        raise changes_the_base(plan.adapter, "a LoRA on that model would be another one; give --to merged")
    base = model.get_base_model()
    if to == "merged-gguf":
        check_convertible(base, loaded.tokenizer)
    return _Source(plan, subject, calibration)


def _fit(source: _Source) -> tuple[Lora | None, dict[str, float]]:
    """Return the LoRA, and how well it fits each layer; no LoRA if the adapter itself is merged."""
    model, config, saved = source.subject.model, source.plan.config, read_saved(source.plan.adapter)
    if config.to not in LORAS and not source.has_circuit:
        return None, {}
    lora: Lora | None = None
    explained: dict[str, float] = {}
    batches = source.batches(source.calibration)
    if method_name(saved) == OWN:
        lora, explained = linearise(model, batches)
    elif is_plain_lora(saved):
        lora = plain_lora(model)
    if lora is None or (config.rank is not None and config.rank < lora.rank):
        of = changes(model) if lora is None else lora.changes()
        whole, kept = nearest(model, of, batches, config.rank or RANKS[-1])
        lora = whole.first(config.rank or _chosen(source, whole))
        explained = {name: float(shares[: lora.rank][-1]) for name, shares in kept.items()}
    return lora, explained


def _chosen(source: _Source, lora: Lora) -> int:
    """Return the smallest rank that keeps the share of the gain that is asked for, on some of the calibration rows."""
    rows, model = first_rows(source.calibration, CHOICE_TOKENS), source.subject.model
    with source.subject.base() as untouched:
        base = source.loss(untouched, rows).loss
    wanted = source.plan.config.keep_share * (base - source.loss(model, rows).loss)

    def keeps(rank: int) -> bool:
        with replaced(model, lora.first(rank)):
            return base - source.loss(model, rows).loss >= wanted

    return RANKS[bisect_left(RANKS, True, hi=len(RANKS) - 1, key=keeps)]  # the largest if none does


def _measure(source: _Source, lora: Lora | None, explained: Mapping[str, float]) -> ExportReport:
    plan, subject, size = source.plan, source.subject, source.plan.evaluation.batch_size
    with subject.base() as untouched:
        base = source.loss(untouched, subject.rows)
    method = method_name(read_saved(plan.adapter))
    fitted = lora if method == OWN or explained else None  # a LoRA that stays as it is computes the same
    return ExportReport(
        adapter=plan.adapter,
        output=plan.output,
        to=plan.config.to,
        model=subject.loaded.source.origin,
        hub_id=subject.loaded.source.hub_id,
        method=method,
        has_circuit=source.has_circuit,
        calibration=plan.calibration_source if explained else None,
        calibration_tokens=total_tokens(source.calibration) if explained else 0,
        held_out=f"{plan.held_out.source}, {plan.evaluation.split} rows",
        measured=measure(subject.model, fitted, base, subject.rows, source.pad, size),
        rank=None if lora is None else lora.rank,
        parameters=None if lora is None else lora.parameters,
        modules_to_save=sorted(getattr(subject.model.peft_config[NAME], "modules_to_save", None) or []),
        layers=explained,
        largest_lost_share=plan.config.largest_lost_share,
    )


def _write(source: _Source, lora: Lora | None, report: ExportReport, force: bool) -> ExportReport:
    """Write the folder atomically, if the model that is read from it reproduces the measured logits."""
    model, loaded = source.subject.model, source.subject.loaded
    is_lora, is_float32 = report.to in LORAS, loaded.dtype == torch.float32
    name = loaded.source.hub_id or report.public()["model"]
    with nullcontext() if lora is None else replaced(model, lora):
        wanted = source.logits(model)
    with folder_beside(report.output) as temporary:
        if lora is not None:
            config = lora_config(lora, model.get_base_model(), model.peft_config[NAME], loaded.source.hub_id)
            model = detach(model)
            if is_lora:
                written = write_beside(report.to, temporary, model, name, lora, config)
            else:
                model = with_lora(model, lora, config)
        if not is_lora:
            tokenizer = with_plain_template(with_template(loaded.tokenizer, source.plan.held_out.template))
            written = write_whole(report.to, temporary, merged(model), name, tokenizer)
        difference = ((source.logits(written.eval()) - wanted).abs().max() / wanted.abs().max()).item()
        if not difference <= (TOLERANCE if is_float32 else HALF_TOLERANCE):
            raise QweftError(
                f"the export, read back, differs from what was measured by {difference:.2g} of the largest logit; "
                "nothing was written: give --model.dtype float32, or report this"
            )
        report = replace(report, written_relative_difference=difference)
        if not is_lora and not is_float32:  # half precision has rounded the merged weights again
            loss = source.loss(written, source.subject.rows).loss
            report = replace(report, measured=replace(report.measured, exported_loss=loss))
            if report.refusal is not None and not force:
                raise QweftError(
                    f"{report.refusal}, as {source.subject.dtype} rounds the merged weights; nothing was written: give "
                    "--model.dtype float32, --to lora or gguf, or --force"
                )
        (temporary / "README.md").write_text(report.card(), encoding="utf-8")
        write_record(temporary / REPORT, report.public())
        if report.output.exists() and any(report.output.iterdir()):
            aside = free_name(report.output)
            os.replace(report.output, aside)
            Console(stderr=True).say(f"the earlier export in {report.output} is now {aside}")
    return report
