"""`qweft export`: makes a LoRA of an adapter, measures it, writes it in a format, and checks the written files."""

import hashlib
import json
import os
import struct
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from peft.utils import CONFIG_NAME, SAFETENSORS_WEIGHTS_NAME
from safetensors import SafetensorError

from qweft.adapter.attach import detach
from qweft.adapter.config import QwthnConfig
from qweft.adapter.folder import read_config
from qweft.claims import CLAIM, State, check_state, claimed_output, free_name, state_of
from qweft.data.batches import Collator
from qweft.data.template import in_words, with_template
from qweft.data.tokens import Encoded, total_tokens
from qweft.errors import QweftError, saying_when_stopped
from qweft.evaluation.config import EvaluationConfig
from qweft.evaluation.loss import check_room, device_of, held_out_loss
from qweft.evaluation.preview import Preview, shapes_of
from qweft.evaluation.saved import put_beside_base
from qweft.exporting.checks import CARD, REPORT, check_start
from qweft.exporting.config import ExportConfig
from qweft.exporting.linearise import LayerFit, fan_in_fan_out, layers_of, linearise, lora_size
from qweft.exporting.lora import Lora, lora_config, plain_lora
from qweft.exporting.measure import (
    Measured,
    distil,
    measure,
    measure_itself,
    on_device,
    read_second_adapter,
    second_adapter,
)
from qweft.exporting.report import ExportReport
from qweft.exporting.rows import Rows, load_rows, plan_rows
from qweft.exporting.targets import WRITERS, Made, check_target
from qweft.files import folder_beside, leftovers, remove, stamp, write_json
from qweft.models.load import LoadedModel, load_model
from qweft.output import Console
from qweft.records import read_record
from qweft.text import many

NAME = "default"
TOLERANCE, HALF_TOLERANCE = 1e-4, 5e-2
"""Largest logit difference between what was measured and what was written, over the largest logit.

In float32 and in half precision: both compute in a different order, and a merged weight is rounded again."""


@dataclass(frozen=True)
class _Context:
    """Model, adapter, tokenizer with the run's template, evaluation settings, text, state of the files."""

    loaded: LoadedModel
    model: Any
    tokenizer: Any
    evaluation: EvaluationConfig
    rows: Rows
    state: State

    @property
    def is_own(self) -> bool:
        """Whether the adapter is a QWTHN adapter, and no LoRA."""
        return isinstance(self.model.peft_config[NAME], QwthnConfig)

    @property
    def pad(self) -> int:
        return int(self.loaded.tokenizer.pad_token_id)

    def batches(self, rows: Sequence[Encoded]) -> list[dict[str, torch.Tensor]]:
        """Returns the rows as batches on the model's device."""
        collate, size = Collator(self.pad), self.evaluation.batch_size
        parts = (collate(rows[start : start + size]) for start in range(0, len(rows), size))
        return [on_device(part, device_of(self.model)) for part in parts]


def preview(adapter: Path, options: Mapping[str, Any] | None = None) -> Preview:
    """Returns a summary of what `export` would do, without loading weights.

    Args:
        adapter: Folder of the adapter.
        options: Options as for `export`.

    Raises:
        QweftError: If `export` could not start.
    """
    config, overrides, output = check_start(adapter, options)
    model_config, plan, evaluation = plan_rows(adapter, config.calibration, overrides)
    loaded, lines = shapes_of(adapter, model_config)
    rows = load_rows(plan, loaded.tokenizer, evaluation.split, config.calibration_tokens)
    check_room(loaded.model, [*rows.held_out, *rows.calibration])
    saved = read_config(adapter)
    if isinstance(saved, QwthnConfig) and not saved.is_linear:
        lines.append(f"circuits fitted on {total_tokens(rows.calibration):,} tokens of {rows.calibration_source}")
    if config.distill_steps:
        lines.append(f"{many(config.distill_steps, 'step')} of distillation after it")
    check_target(config.to, loaded.model, loaded.tokenizer)
    lines.append(f"judged on {many(len(rows.held_out), 'row')} of {rows.held_out_source} ({evaluation.split})")
    return Preview((*lines, f"written to {output}"))


def export(adapter: Path, options: Mapping[str, Any] | None = None, force: bool = False) -> ExportReport:
    """Exports an adapter as a LoRA or as a merged model, unless it loses too much of the adapter's gain.

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
    config, overrides, output = check_start(adapter, options)
    before = stamp(output / REPORT)

    def what_is_kept() -> str:
        if stamp(output / REPORT) not in (None, before):
            return f"the export is whole, in {output}"
        return "nothing was written; the same command begins anew"

    lock = output.with_name(f".{output.name}{CLAIM}")  # beside the folder, which is replaced as a whole
    with claimed_output(output, "qweft export", lock=lock), saying_when_stopped(what_is_kept):
        for path in leftovers(output.parent, (output.name,)):  # of a killed export, since this one holds the claim
            remove(path)
        return _export(adapter, config, overrides, output, force)


def _export(adapter: Path, config: ExportConfig, overrides: dict[str, Any], output: Path, force: bool) -> ExportReport:
    context = _set_up(adapter, config, overrides)
    has_circuit = context.is_own and any(
        layer.qwthn_core[NAME].circuit_features for layer in layers_of(context.model, NAME).values()
    )
    if config.distill_steps and not has_circuit:
        raise QweftError("distill_steps: the adapter has no circuit, so its LoRA is exact; leave distill_steps out")
    lora, fits, measured, probe, wanted = (_made if context.is_own else _taken)(context, config, has_circuit)
    report = ExportReport(
        adapter=adapter,
        output=output,
        to=config.to,
        model=context.loaded.source.origin,
        hub_id=context.loaded.source.hub_id,
        is_own=context.is_own,
        calibration=context.rows.calibration_source if has_circuit else None,
        calibration_tokens=total_tokens(context.rows.calibration) if has_circuit else 0,
        distill_steps=config.distill_steps,
        held_out=f"{context.rows.held_out_source}, {context.evaluation.split} rows",
        measured=measured,
        rank=lora.rank,
        parameters=sum(tensor.numel() for tensor in lora.tensors().values()),
        whole=sorted(context.model.peft_config[NAME].modules_to_save or []),
        layers=fits,
        largest_lost_share=config.largest_lost_share,
    )
    return _write(context, lora, report, probe, wanted, force) if report.refusal is None or force else report


def _taken(
    context: _Context, config: ExportConfig, has_circuit: bool
) -> tuple[Lora, list[LayerFit], Measured, dict[str, torch.Tensor], torch.Tensor]:
    """Returns the same as `_made` for an adapter that is a LoRA already."""
    measured = measure_itself(context.model, context.rows.held_out, context.pad, context.evaluation.batch_size)
    probe = context.batches(context.rows.held_out[:1])[0]
    return plain_lora(context.model, NAME), [], measured, probe, _logits(context.model, probe)


def _made(
    context: _Context, config: ExportConfig, has_circuit: bool
) -> tuple[Lora, list[LayerFit], Measured, dict[str, torch.Tensor], torch.Tensor]:
    """Returns the LoRA, its fits and measurements, and a batch of one held-out row with the LoRA's logits."""
    console = Console(stderr=True)
    rows = context.rows
    trained = sum(tensor.numel() for name, tensor in context.model.named_parameters() if ".qwthn_" in name)
    rank, made = lora_size(context.model, NAME)
    console.print(f"{trained:,} numbers of the adapter become a LoRA of rank {rank} with {made:,}", highlight=False)
    batches = context.batches(rows.calibration) if has_circuit else []
    if has_circuit:
        tokens = total_tokens(rows.calibration)
        console.print(f"fitting the circuits on {tokens:,} tokens of {rows.calibration_source}")
    inputs = [{key: batch[key] for key in ("input_ids", "attention_mask")} for batch in batches]
    lora, fits = linearise(context.model, inputs, NAME)
    with second_adapter(context.model, lora, NAME) as exported:
        if config.distill_steps:
            losses = distil(context.model, NAME, exported, batches, config.distill_steps, config.distill_learning_rate)
            console.print(f"distillation: KL {losses[0]:.5f} -> {losses[-1]:.5f} nats a token")
            lora = read_second_adapter(context.model, lora, exported)
        measured = measure(context.model, NAME, exported, rows.held_out, context.pad, context.evaluation.batch_size)
        probe = context.batches(rows.held_out[:1])[0]
        context.model.set_adapter(exported)
        return lora, fits, measured, probe, _logits(context.model, probe)


def _set_up(adapter: Path, config: ExportConfig, overrides: dict[str, Any]) -> _Context:
    """Loads model, text and adapter."""
    state = state_of(adapter)
    model_config, plan, evaluation = plan_rows(adapter, config.calibration, overrides)
    loaded = load_model(model_config)
    rows = load_rows(plan, loaded.tokenizer, evaluation.split, config.calibration_tokens)
    check_room(loaded.model, [*rows.held_out, *rows.calibration])
    so = "a LoRA on that model would be another one; export takes none with biases or embeddings of the base model"
    model = put_beside_base(loaded, adapter, so)
    check_target(config.to, model.get_base_model(), loaded.tokenizer)
    tokenizer = in_words(with_template(loaded.tokenizer, plan.held_out.template))
    return _Context(loaded, model, tokenizer, evaluation, rows, state)


@torch.no_grad()
def _logits(model: Any, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
    logits: torch.Tensor = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    return logits.float()


def _write(
    context: _Context,
    lora: Lora,
    report: ExportReport,
    probe: Mapping[str, torch.Tensor],
    wanted: torch.Tensor,
    force: bool,
) -> ExportReport:
    """Writes the folder atomically, if the model that is read from it reproduces the measured logits."""
    source = context.loaded.source
    is_transposed = context.is_own and fan_in_fan_out(layers_of(context.model, NAME))
    adapter = context.model.peft_config[NAME]
    config = lora_config(lora, context.model.get_base_model(), adapter, is_transposed, source.hub_id)
    made = Made(detach(context.model), context.tokenizer, source.hub_id or report.public()["model"], lora, config)
    with folder_beside(report.output) as temporary:
        try:
            found = WRITERS[report.to](temporary, made).eval()
        except QweftError:
            raise
        except (OSError, SafetensorError) as error:  # a full disk raises either
            reason = (str(error).splitlines() or [""])[0][:200]
            raise QweftError(
                f"the export could not be written to {report.output} ({reason}); make room there, or allow writing"
            ) from error
        except (struct.error, ArithmeticError, LookupError, TypeError, ValueError) as error:
            raise QweftError(
                f"the base model cannot be written as {report.to} ({type(error).__name__}: {str(error)[:200]}); get "
                "its config.json and its tokenizer anew"
            ) from error
        difference = (_logits(found, probe) - wanted).abs().max().item()
        is_exact = context.loaded.dtype == torch.float32
        tolerance = TOLERANCE if is_exact else HALF_TOLERANCE
        if not difference <= tolerance * wanted.abs().max().item():
            raise QweftError(
                f"the export, read back, differs from what was measured by {difference:.3g} in a logit; nothing was "
                f"written: {'please report this' if is_exact else 'give --model.dtype float32'}"
            )
        report = replace(report, written_difference=difference)
        if report.to in ("merged", "merged-gguf") and not is_exact:
            report = _judged_as_written(context, found, report, force)
        (temporary / CARD).write_text(report.card(), encoding="utf-8")
        made_from = _made_from(report, str(context.loaded.dtype), getattr(context.tokenizer, "chat_template", None))
        files = _digests(temporary)  # by which the next export sees what was changed in this one
        write_json(temporary / REPORT, report.public() | {"made_from": made_from, "files": files})
        check_state(report.adapter, context.state)  # a training that begins anew renames the folder around both
        _keep_other(report.output, made_from, _weights_in(files))
    return report


def _made_from(report: ExportReport, dtype: str, template: str | None) -> str:
    """Returns a hash of the adapter's files and of what else decides the export."""
    decides = [
        report.to, report.model, report.calibration, report.calibration_tokens, report.distill_steps, dtype,
        report.held_out, template,
    ]  # fmt: skip
    found = hashlib.sha256(json.dumps(decides).encode())
    for name in (CONFIG_NAME, SAFETENSORS_WEIGHTS_NAME):
        found.update((report.adapter / name).read_bytes())
    return found.hexdigest()


def _digests(folder: Path) -> dict[str, str | None]:
    """Returns the SHA-256 of each file of an export but its report, by relative name; `None` for what is no file."""
    digests: dict[str, str | None] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if name == REPORT or (path.is_dir() and not path.is_symlink()):
            continue
        digests[name] = None
        if path.is_file() and not path.is_symlink():
            with path.open("rb") as file:
                digests[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return digests


def _weights_in(files: Mapping[str, Any]) -> dict[str, Any]:
    return {name: digest for name, digest in files.items() if name.endswith((".safetensors", ".gguf"))}


def _keep_other(output: Path, made_from: str, weights: Mapping[str, Any]) -> None:
    """Renames an earlier export of something else, one that was changed since, or one whose weights differ."""
    if not (output / REPORT).is_file():
        return
    said = "may be of another adapter, or with other options"
    with suppress(QweftError, OSError):
        earlier = read_record(output / REPORT, "")
        if earlier.get("made_from") == made_from:
            if earlier.get("files") != _digests(output):
                said = "may have been changed since it was made"
            elif _weights_in(earlier["files"]) == weights:
                return
            else:
                said = "has other weights"
    aside = free_name(output)
    os.replace(output, aside)
    Console(stderr=True).say(f"the earlier export in {output} {said}, and is now {aside}")


def _judged_as_written(context: _Context, written: Any, report: ExportReport, force: bool) -> ExportReport:
    """Returns the report with the loss of the merged model, whose weights half precision has rounded again.

    The differences of single logits were those of the adapter before that, and are left out.

    Raises:
        QweftError: If that loses too much of the adapter's gain, unless `force` is true.
    """
    loss = held_out_loss(written, context.rows.held_out, context.pad, context.evaluation.batch_size).loss
    measured = replace(report.measured, exported_loss=loss, largest_logit_change=None, equal_greedy_share=None)
    report = replace(report, measured=measured)
    if report.refusal is not None and not force:
        dtype = str(context.loaded.dtype).removeprefix("torch.")
        raise QweftError(
            f"{report.refusal}, as {dtype} rounds the merged weights; nothing was written: give --model.dtype float32, "
            "--to lora or gguf, or --force"
        )
    return report
