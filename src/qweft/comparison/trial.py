"""One run of a comparison: trains a method at one seed, evaluates it and writes its record."""

import gc
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import set_seed

from qweft import records
from qweft.adapter.attach import detach
from qweft.comparison.adapters import put_on
from qweft.comparison.claims import claimed
from qweft.comparison.context import Context, fingerprint, judged_rows
from qweft.comparison.method_kinds import core_of
from qweft.comparison.methods import Method
from qweft.comparison.report.inspection import inspections
from qweft.comparison.results import BASE, Run
from qweft.data.batches import Collator
from qweft.data.conversation import Conversation
from qweft.data.report import fingerprint as fingerprint_of
from qweft.errors import OutOfMemoryError, QweftError
from qweft.evaluation.generation import Answer, answers_to, end_tokens, prompt_of
from qweft.evaluation.loss import held_out_loss
from qweft.evaluation.row_scores import HeldOutLoss
from qweft.evaluation.run import LENGTH
from qweft.evaluation.saved import put_on as put_saved_on
from qweft.method.effective import needs_rows_first
from qweft.method.names import has_circuit
from qweft.models.load import checksum
from qweft.training.config import RunConfig, TrainingConfig
from qweft.training.loop import DivergedError, Fit, fit, planned_steps, planned_tokens
from qweft.training.run import save_adapter, weights_bytes

RECORD = "run.json"
ADAPTER = "adapter"
NO_ROOM = "out of memory"
INSPECTED_ROWS = 4
"""Number of validation rows in an inspection, read as one batch."""
DEQUANTISED_ROWS = 32
"""Most validation rows on which circuits are replaced by fits: half to fit, half to judge."""


def run_folder(output: Path, method: str, seed: int) -> Path:
    """Return the folder of one run's adapter and record."""
    return output / (BASE if method == BASE else f"{method}-{seed}")


def run_trial(
    context: Context, method: Method | None, seed: int, folder: Path, keep_adapter: bool = True
) -> Run | None:
    """Return the run's record, read if the run is finished, else made; `None` while another process makes it."""
    return context.executor.run(context, method, seed, folder, keep_adapter)


def finished_trial(context: Context, method: Method | None, seed: int, folder: Path) -> Run | None:
    """Return the record of a finished run that lacks nothing, else `None`. Arguments and errors as in `run_trial`."""
    if folder.is_symlink():  # what stands where it leads would be replaced
        raise QweftError(
            f"{folder} is a link to {os.path.realpath(folder)}, and a run writes to its own folder; remove it"
        )
    finished = _finished(context, method, seed, folder)
    if finished is None or _lacks_inspection(context, method, finished, folder):
        return None
    return finished


def trial_here(context: Context, method: Method | None, seed: int, folder: Path, keep_adapter: bool) -> Run | None:
    """Make or reads the run in this process; arguments and result as in `run_trial`."""
    finished = finished_trial(context, method, seed, folder)
    if finished is not None:
        return finished
    with claimed(folder) as ours:
        if not ours:
            return None
        finished = _finished(context, method, seed, folder)  # another process may have finished it meanwhile
        if finished is None:
            return _make(context, method, seed, folder, keep_adapter)
        if method is not None and _lacks_inspection(context, method, finished, folder):
            return _with_inspection(context, method, finished, folder)
        return finished


def _finished(context: Context, method: Method | None, seed: int, folder: Path) -> Run | None:
    if not os.path.lexists(folder / RECORD):
        return None
    saved, run = read_record(folder / RECORD)
    if saved["fingerprint"] != _fingerprint(context, method, seed):
        why = ""
        if method and method.searched and run.learning_rate != method.learning_rate:
            why = f"its learning rate is {run.learning_rate}, and this search found {method.learning_rate}"
        raise QweftError(
            f"{folder} holds a run of another configuration{why and f': {why}'}; choose another --output, or remove "
            "that folder to run it again"
        )
    if saved.get("weights") != context.base_checksum:
        raise QweftError(
            f"{folder} holds a run on other weights of the base model, which has changed since; choose another "
            "--output, or remove that folder to run it again"
        )
    if method and (run.method, run.seed, run.trainable_parameters) != (method.name, seed, method.trainable_parameters):
        raise QweftError(f"{folder / RECORD} is of another run; remove that file to make the run again")
    # the rows are the same by their hash, wherever the file has moved
    return replace(run, budget=method.budget if method else None, data=context.settings.data.source)


def read_record(record: Path) -> tuple[dict[str, Any], Run]:
    """Return the whole record of a run, and the run in it."""
    way = "remove that file to make the run again"
    saved = records.read_record(record, way)
    try:
        if not isinstance(saved["fingerprint"], str):
            raise TypeError("its fingerprint is no text")
        inspections([saved["run"]])  # the report reads it, after all runs
        return saved, Run.from_json(saved["run"])
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise QweftError(f"{record} is damaged or not the record of a run ({error}); {way}") from error


def _lacks_inspection(context: Context, method: Method | None, run: Run, folder: Path) -> bool:
    """Whether `inspect` requires an inspection that this finished run lacks, and its adapter was saved."""
    wanted = context.settings.inspect and run.seed == context.settings.first_seed and run.inspection is None
    if not wanted or method is None or not _can_be_inspected(method.adapter):
        return False
    return (folder / ADAPTER).is_dir()


def _with_inspection(context: Context, method: Method, run: Run, folder: Path) -> Run:
    """Inspect the saved adapter of a finished run, and adds the result to its record."""
    run = replace(run, inspection=_inspected_from(folder / ADAPTER, context, method))
    if checksum(context.loaded.model) != context.base_checksum:
        raise QweftError(
            f"{folder / ADAPTER} changes the base model's own weights when it loads, which the runs of a comparison "
            f"share; remove {folder} to make the run again"
        )
    records.write_record(folder / RECORD, {**read_record(folder / RECORD)[0], "run": run.to_json()})
    return run


def _make(
    context: Context,
    method: Method | None,
    seed: int,
    folder: Path,
    keep_adapter: bool,
) -> Run:
    started, clock = datetime.now(UTC).isoformat(timespec="seconds"), time.perf_counter()
    try:
        run = _scored(context, method, seed, folder if keep_adapter else None)
    except DivergedError as error:  # a valid outcome: the method failed at this rate and seed
        run = _record(context, method, seed, None, None, [], error.curve)
    except OutOfMemoryError as error:
        if method is None or not context.settings.takes_failures:
            raise
        context.console.print(f"{method.name}: {error}", highlight=False)
        run = replace(_record(context, method, seed, None, None, [], ()), failure=NO_ROOM)
    if run.failure is not None:
        gc.collect()  # here, as the error held what its calls had made
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
    if checksum(context.loaded.model) != context.base_checksum:
        raise QweftError(
            f"methods.{method.name if method else BASE} changes the base model (modules_to_save, or a start that "
            "rewrites base weights), which the runs of a comparison share; leave that out"
        )
    run = replace(run, started=started, seconds=time.perf_counter() - clock)
    config = {} if method is None else asdict(_run_config(context, method, seed))
    key = _fingerprint(context, method, seed)
    rows = {"fingerprint": context.data.report.fingerprint}
    record = {
        "fingerprint": key, "weights": context.base_checksum, "dtype": str(context.loaded.dtype), "data": rows,
        "run": run.to_json(), "config": config,
    }  # fmt: skip
    records.write_record(folder / RECORD, record, "config")
    return run


def _run_config(context: Context, method: Method, seed: int) -> RunConfig:
    """Return the config with which `qweft train` would make this run. `qweft evaluate` finds model and data in it."""
    settings = context.settings
    training = _budget(context, method, seed)
    return RunConfig(
        settings.model, settings.data, method.adapter, training, settings.evaluation, output=settings.output
    )


def _fingerprint(context: Context, method: Method | None, seed: int) -> str:
    """Return a hash of everything that determines the run's result."""
    fewer = {"spread_rows": rows} if (rows := context.settings.most_rows) else {}
    elsewhere = {}
    if context.settings.evaluation.forgetting:
        elsewhere = {"elsewhere": fingerprint_of({"elsewhere": list(context.elsewhere)})}
    decides = {
        "judging": context.settings.evaluation.compared() | elsewhere | fewer,
        "training": method and _budget(context, method, seed).decides(needs_rows_first(method.adapter)),
    }
    return fingerprint(context, {**decides, "adapter": method and method.adapter})


def _budget(context: Context, method: Method, seed: int) -> TrainingConfig:
    training = context.settings.training
    steps = training.max_steps if method.steps is None else method.steps
    return replace(training, learning_rate=method.learning_rate, seed=seed, max_steps=steps)


def _scored(context: Context, method: Method | None, seed: int, keep: Path | None) -> Run:
    loaded, data, judging = context.loaded, context.data, context.settings.evaluation
    pad = loaded.tokenizer.pad_token_id
    rows, texts = judged_rows(context.settings, data)
    first = seed == context.settings.first_seed
    shown = texts[: judging.answers] if first else []
    # before the training, which a chat template that is refused shall not cost
    prompts = [prompt_of(text, data.tokenizer) for text in shown]
    ends = end_tokens(loaded.model, data.tokenizer) if shown else set()
    model, fitted = loaded.model, None
    if method is not None:
        set_seed(seed)
        budget = _budget(context, method, seed)
        steps = planned_steps(budget, data.train)
        model = put_on(loaded.model, method.adapter, steps)
    try:
        if method is not None:
            fitted = fit(model, data.train, pad, budget, f"{method.name}, seed {seed}")
        found = held_out_loss(model, rows, pad, judging.batch_size)
    except BaseException:
        if method is not None:
            detach(model)
        raise
    answers = answers_to(model, data.tokenizer, prompts, ends, judging.max_new_tokens) if shown else []
    forgetting = None
    if judging.forgetting is not None:
        there = held_out_loss(model, context.elsewhere, pad, judging.batch_size, key=LENGTH)
        forgetting = {"source": judging.forgetting, "loss": there.loss, "row_losses": _rows(there)}
    inspection, size = None, None
    if method is not None:
        if context.settings.inspect and first:
            inspection = _inspected(model, context, method)
        if keep is not None:
            _save(model, keep / ADAPTER, loaded.source.hub_id)
            size = weights_bytes(keep / ADAPTER)
        detach(model)
    run = _record(context, method, seed, fitted, found, answers, fitted.curve if fitted else ())
    return replace(
        run, inspection=inspection, eval_row_groups=_groups(texts), adapter_bytes=size, forgetting=forgetting
    )


def _save(model: Any, folder: Path, hub_id: str | None) -> None:
    try:
        save_adapter(model, folder, hub_id=hub_id)
    except (OSError, RuntimeError, SafetensorError) as error:  # a full disk raises any of these
        said = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise QweftError(
            f"{folder} cannot be written ({said}); make room there, or allow writing, and the same command goes on"
        ) from error


def _rows(found: HeldOutLoss) -> tuple[tuple[float, int], ...]:
    return tuple((round(total, 6), tokens) for total, tokens in found.rows)


def _groups(texts: Sequence[Conversation]) -> tuple[int, ...]:
    """Return the group of each row as a number; empty if no two rows share one."""
    numbers = {group: number for number, group in enumerate(dict.fromkeys(text.group for text in texts))}
    return tuple(numbers[text.group] for text in texts) if len(numbers) < len(texts) else ()


def _record(
    context: Context,
    method: Method | None,
    seed: int,
    fitted: Fit | None,
    found: HeldOutLoss | None,
    answers: list[Answer],
    curve: tuple[tuple[int, float], ...],
) -> Run:
    return Run(
        model=context.loaded.source.name,
        data=context.settings.data.source,
        method=BASE if method is None else method.name,
        seed=seed,
        trainable_parameters=0 if method is None else method.trainable_parameters,
        steps=fitted.steps if fitted else max((step for step, _ in curve), default=0),
        train_loss=fitted.train_loss if fitted else None,
        train_loss_curve=curve,
        eval_loss=found.loss if found else None,
        eval_perplexity=found.perplexity if found else None,
        step_seconds_median=fitted.step_seconds_median if fitted else None,
        peak_memory_bytes=fitted.peak_memory_bytes if fitted else None,
        learning_rate=method.learning_rate if method else None,
        eval_standard_error=found.standard_error if found else None,
        adapter=method.adapter if method else None,
        answers=tuple(answer.to_json() for answer in answers),
        eval_row_losses=_rows(found) if found else (),
        budget=method.budget if method else None,
        step_seconds_spread=fitted.step_seconds_spread if fitted else None,
        cpu_by_others=fitted.cpu_by_others if fitted else None,
        load_average=fitted.load_average if fitted else None,
    )


def _can_be_inspected(adapter: Mapping[str, Any]) -> bool:
    """Whether a specification is this package's or a plain LoRA's, as far as the specification tells."""
    kind = str(adapter.get("peft_type")).upper()
    plain_lora = kind == "LORA" and not adapter.get("use_dora") and not adapter.get("lora_bias")
    return "preset" in adapter or kind == "QWTHN" or plain_lora


def _inspected(model: Any, context: Context, method: Method) -> dict[str, Any] | None:
    """Return the inspection as JSON; `None` if nothing of the adapter can be measured."""
    if not _can_be_inspected(method.adapter):
        return None
    from qweft.analysis.checks import LEAST_ROWS
    from qweft.analysis.dequantise import dequantise
    from qweft.analysis.run import inspect_adapter, on_a_chip  # here: few comparisons need it

    rows, pad_token_id = context.data.validation, context.loaded.tokenizer.pad_token_id
    batch = Collator(pad_token_id)(rows[:INSPECTED_ROWS])
    try:
        found = inspect_adapter(model, [batch])
    except QweftError:
        return None
    training, train = _budget(context, method, context.settings.first_seed), context.data.train
    trained = planned_tokens(training, train, planned_steps(training, train))
    with suppress(QweftError):
        found = replace(found, chips=on_a_chip(model, trained))
    if len(rows) >= LEAST_ROWS and has_circuit(core_of(method.adapter) or "identity"):
        with suppress(QweftError):
            found = replace(found, dequantised=dequantise(model, rows[:DEQUANTISED_ROWS], pad_token_id))
    return found.to_json()


def _inspected_from(folder: Path, context: Context, method: Method) -> dict[str, Any] | None:
    """Attach a saved adapter to the shared base model, inspects it and detaches it."""
    model = put_saved_on(context.loaded, folder)
    try:
        return _inspected(model, context, method)
    finally:
        detach(model)
