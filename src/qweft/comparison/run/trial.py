"""One run of a comparison: trains a method at one seed, evaluates it and writes its record."""

import gc
import os
import time
from contextlib import ExitStack, suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from transformers import set_seed

from qweft.adapter.attach import detach
from qweft.comparison.method_kinds import core_of
from qweft.comparison.methods import Method, put_on
from qweft.comparison.results import BASE, Run
from qweft.comparison.run.context import Context
from qweft.comparison.run.workers import claimed
from qweft.core import records
from qweft.core.errors import OutOfMemoryError, QweftError
from qweft.data.batches import Collator
from qweft.data.report import fingerprint as fingerprint_of
from qweft.evaluation.generation import generate_answers, prompt_of
from qweft.evaluation.loss import held_out_loss
from qweft.evaluation.run import LENGTH
from qweft.evaluation.scores import HeldOutLoss
from qweft.method.effective import needs_rows_first
from qweft.method.names import has_circuit
from qweft.models.checksum import checksum
from qweft.training.config import RunConfig, TrainingConfig
from qweft.training.loop import DivergedError, fit, planned_steps
from qweft.training.run import save_adapter, weights_bytes

RECORD = "run.json"
ADAPTER = "adapter"
NO_ROOM = "out of memory"
WAY = "remove that file to make the run again"
INSPECTED_ROWS = 4
"""Number of validation rows in an inspection, read as one batch."""
DEQUANTISED_ROWS = 32
"""Most validation rows on which circuits are replaced by fits: half to fit, half to judge."""

OF_TRAINING = (
    "steps", "train_loss", "step_seconds_median", "step_seconds_spread", "peak_memory_bytes", "cpu_by_others",
    "load_average",
)  # fmt: skip
"""Fields of a record that are those of its training."""


def run_folder(output: Path, method: str, seed: int) -> Path:
    """Return the folder of one run's adapter and record."""
    return output / (BASE if method == BASE else f"{method}-{seed}")


def run_trial(
    context: Context, method: Method | None, seed: int, folder: Path, keep_adapter: bool = True
) -> Run | None:
    """Return a run's record (no method: the base model's), read or made; `None` while another process makes it."""
    make = trial_here if context.cluster is None else context.cluster.run
    made: Run | None = make(context, method, seed, folder, keep_adapter)
    return made


def trial_here(context: Context, method: Method | None, seed: int, folder: Path, keep_adapter: bool) -> Run | None:
    """Read or make the run in this process, as `run_trial`."""
    if finished := finished_trial(context, method, seed, folder):
        return finished
    with claimed(folder) as is_own:
        if not is_own:
            return None
        # another process may have finished it meanwhile
        finished = finished_trial(context, method, seed, folder)
        return finished or _make(context, method, seed, folder, keep_adapter)


def finished_trial(context: Context, method: Method | None, seed: int, folder: Path) -> Run | None:
    """Return the record of a finished run, else `None`. Arguments and errors as in `run_trial`."""
    if folder.is_symlink():  # what stands where it leads would be replaced
        raise QweftError(
            f"{folder} is a link to {os.path.realpath(folder)}, and a run writes to its own folder; remove it"
        )
    if not os.path.lexists(folder / RECORD):
        return None
    saved, run = read_record(folder / RECORD)
    way = "choose another --output, or remove that folder to run it again"
    if saved.get("fingerprint") != _fingerprint(context, method, seed):
        raise QweftError(f"{folder} holds a run of another configuration; {way}")
    if saved.get("weights") != context.base_checksum:
        raise QweftError(f"{folder} holds a run on other weights of the base model, which has changed since; {way}")
    # the rows are the same by their hash, wherever the file has moved
    return replace(run, data=context.config.data.source)


def read_record(record: Path) -> tuple[dict[str, Any], Run]:
    """Return the whole record of a run, and the run in it."""
    saved = records.read_record(record, WAY)
    try:
        return saved, Run.from_json(saved["run"])
    except (LookupError, ValueError) as error:
        raise QweftError(f"{record} {records.WRONG}; {WAY}") from error


def _make(context: Context, method: Method | None, seed: int, folder: Path, keep_adapter: bool) -> Run:
    started, clock = datetime.now(UTC).isoformat(timespec="seconds"), time.perf_counter()
    run = Run(context.loaded.source.name, context.config.data.source, BASE, seed, 0)
    config: dict[str, Any] = {}  # with which `qweft train` makes this run; `qweft evaluate` finds model and data in it
    if method is not None:
        of, size, rate = context.config, method.trainable_parameters, method.learning_rate
        run = replace(run, method=method.name, trainable_parameters=size, learning_rate=rate, adapter=method.adapter)
        training = _training(context, method, seed)
        config = asdict(RunConfig(of.model, of.data, method.adapter, training, of.evaluation, output=of.output))
    try:
        run = _scored(context, method, run, folder if keep_adapter else None)
    except DivergedError as error:  # a valid outcome: the method failed at this rate and seed
        run = replace(run, train_loss_curve=error.curve, steps=max((step for step, _ in error.curve), default=0))
    except OutOfMemoryError as error:
        if method is None or not context.takes_failures:
            raise
        context.console.print(f"{method.name}: {error}", highlight=False)
        run = replace(run, failure=NO_ROOM)
    if run.failure is not None:
        gc.collect()  # here, as the error held what its calls had made
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
    if checksum(context.loaded.model) != context.base_checksum:
        raise QweftError(
            f"methods.{run.method} changes the base model (modules_to_save, or a start that rewrites base weights), "
            "which the runs of a comparison share; leave that out"
        )
    run = replace(run, started=started, seconds=time.perf_counter() - clock)
    record = {
        "fingerprint": _fingerprint(context, method, seed),
        "weights": context.base_checksum,
        "dtype": str(context.loaded.dtype),
        "data": {"fingerprint": context.data.report.fingerprint},
        "run": run.to_json(),
        "config": config,
    }
    records.write_record(folder / RECORD, record, "config")
    return run


def _fingerprint(context: Context, method: Method | None, seed: int) -> str:
    """Return a hash of everything that determines the run's result."""
    judging: dict[str, Any] = context.config.evaluation.compared()
    if context.config.evaluation.forgetting:
        judging["elsewhere"] = fingerprint_of({"elsewhere": list(context.elsewhere)})
    training = method and _training(context, method, seed).decides(needs_rows_first(method.adapter))
    return context.fingerprint({"judging": judging, "training": training, "adapter": method and method.adapter})


def _training(context: Context, method: Method, seed: int) -> TrainingConfig:
    return replace(context.config.training, learning_rate=method.learning_rate, seed=seed)


def _scored(context: Context, method: Method | None, run: Run, keep: Path | None) -> Run:
    """Return the run with its training and its losses."""
    loaded, data, judging = context.loaded, context.data, context.config.evaluation
    pad, is_first = loaded.tokenizer.pad_token_id, run.seed == context.first_seed
    rows, texts = data.held_out(judging.split), data.conversations[judging.split]
    shown = texts[: judging.answers] if is_first else []
    # before the training, which a chat template that is refused shall not cost
    prompts = [prompt_of(text, data.tokenizer) for text in shown]
    with ExitStack() as stack:
        model = loaded.model
        if method is not None:
            set_seed(run.seed)
            training = _training(context, method, run.seed)
            model = put_on(model, method.adapter, planned_steps(training, data.train))
            stack.callback(detach, model)
            fitted = fit(model, data.train, pad, training, f"{method.name}, seed {run.seed}")
            run = replace(run, train_loss_curve=fitted.curve, **{name: getattr(fitted, name) for name in OF_TRAINING})
        loss = held_out_loss(model, rows, pad, judging.batch_size)
        answers = generate_answers(model, data.tokenizer, prompts, judging.max_new_tokens) if prompts else []
        forgetting = None
        if judging.forgetting is not None:
            there = held_out_loss(model, context.elsewhere, pad, judging.batch_size, key=LENGTH)
            forgetting = {"source": judging.forgetting, "loss": there.loss, "row_losses": _rows(there)}
        if method is not None and context.config.inspect and is_first:
            run = replace(run, inspection=_inspected(model, context, method))
        if method is not None and keep is not None:
            save_adapter(model, keep / ADAPTER, hub_id=loaded.source.hub_id)
            run = replace(run, adapter_bytes=weights_bytes(keep / ADAPTER))
    groups = {group: number for number, group in enumerate(dict.fromkeys(text.group for text in texts))}
    return replace(
        run,
        eval_loss=loss.loss,
        eval_perplexity=loss.perplexity,
        eval_standard_error=loss.standard_error,
        eval_row_losses=_rows(loss),
        eval_row_groups=tuple(groups[text.group] for text in texts) if len(groups) < len(texts) else (),
        answers=tuple(answer.to_json() for answer in answers),
        forgetting=forgetting,
    )


def _rows(loss: HeldOutLoss) -> tuple[tuple[float, int], ...]:
    return tuple((round(total, 6), tokens) for total, tokens in loss.rows)


def _inspected(model: Any, context: Context, method: Method) -> dict[str, Any] | None:
    """Return the inspection as JSON of this package's adapters and of plain LoRAs; `None` of all others."""
    from qweft.inspect.dequantise import dequantise
    from qweft.inspect.run import inspect_adapter  # here: few comparisons need it

    rows, pad_token_id = context.data.validation, context.loaded.tokenizer.pad_token_id
    batch = Collator(pad_token_id)(rows[:INSPECTED_ROWS])
    try:
        inspection = inspect_adapter(model, [batch])
    except QweftError:
        return None
    if has_circuit(core_of(method.adapter) or "identity"):
        with suppress(QweftError):  # of too few rows
            inspection = replace(inspection, dequantised=dequantise(model, rows[:DEQUANTISED_ROWS], pad_token_id))
    return inspection.to_json()
