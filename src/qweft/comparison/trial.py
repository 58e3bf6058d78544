"""One method at one seed: trained, judged, recorded."""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from transformers import set_seed

from qweft.comparison.adapters import put_on, take_off
from qweft.comparison.bench import Bench, checksum, fingerprint
from qweft.comparison.claims import claimed
from qweft.comparison.inspected import inspected, inspected_from, of_a_kind_that_is_measured
from qweft.comparison.methods import Method
from qweft.comparison.results import BASE, Run
from qweft.data.conversation import Conversation
from qweft.data.report import fingerprint as fingerprint_of
from qweft.errors import QweftError
from qweft.evaluation.answers import Answer, generate_answers
from qweft.evaluation.config import EvaluationConfig
from qweft.evaluation.loss import HeldOutLoss, held_out_loss
from qweft.files import write_json
from qweft.training.config import RunConfig, TrainingConfig
from qweft.training.loop import DivergedError, Fit, fit, steps_of
from qweft.training.run import save_adapter, weights_bytes

RECORD = "run.json"
ADAPTER = "adapter"


def run_folder(output: Path, method: str, seed: int) -> Path:
    """Where one run's adapter and record are kept."""
    return output / (BASE if method == BASE else f"{method}-{seed}")


def run_trial(
    bench: Bench, method: Method | None, seed: int, judging: EvaluationConfig, folder: Path, keep_adapter: bool = True
) -> Run | None:
    """The run's record: read where it is finished, else made; none while another process makes it.

    What does not decide the outcome may be asked for later: a finished run gets the budget that its method has now, and
    with `inspect` the inspection that it lacks, of its saved adapter.

    Args:
        bench: What the runs share, with the executor that makes them.
        method: None is the untouched base model.
        seed: The run's seed.
        judging: The rows that it is judged on.
        folder: The run's own.
        keep_adapter: Whether the trained adapter is saved there.

    Raises:
        QweftError: If the folder holds a run of another configuration, or a record that cannot be read.
    """
    return bench.executor.run(bench, method, seed, judging, folder, keep_adapter)


def finished_trial(
    bench: Bench, method: Method | None, seed: int, judging: EvaluationConfig, folder: Path
) -> Run | None:
    """The record of a run that is finished with all that is asked of it; else none. As `run_trial`."""
    finished = _finished(folder, _fingerprint(bench, method, seed, judging), method)
    if finished is None or _lacks_inspection(bench, method, finished, folder):
        return None
    return finished


def trial_here(
    bench: Bench, method: Method | None, seed: int, judging: EvaluationConfig, folder: Path, keep_adapter: bool
) -> Run | None:
    """As `run_trial`, in this process."""
    finished = finished_trial(bench, method, seed, judging, folder)
    if finished is not None:
        return finished
    key = _fingerprint(bench, method, seed, judging)
    with claimed(folder) as ours:
        if not ours:
            return None
        finished = _finished(folder, key, method)  # another process may have finished it since the first look
        if finished is None:
            return _make(bench, method, seed, judging, folder, keep_adapter, key)
        if method is not None and _lacks_inspection(bench, method, finished, folder):
            return _with_inspection(bench, method, finished, folder)
        return finished


def _finished(folder: Path, key: str, method: Method | None) -> Run | None:
    if not (folder / RECORD).is_file():
        return None
    saved, run = read_record(folder / RECORD)
    if saved["fingerprint"] != key:
        raise QweftError(
            f"{folder} holds a run of another configuration; choose another --output, or remove that folder to run "
            "it again"
        )
    return replace(run, budget=method.budget if method else None)


def read_record(record: Path) -> tuple[dict[str, Any], Run]:
    """What a run left: the record whole, and the run in it."""
    try:
        saved: dict[str, Any] = json.loads(record.read_text("utf-8"))
        saved["fingerprint"]
        return saved, Run.from_json(saved["run"])
    except (ValueError, KeyError, TypeError, AttributeError, QweftError) as error:
        raise QweftError(
            f"{record} is damaged or not the record of a run ({error}); remove that file to make the run again"
        ) from error


def _lacks_inspection(bench: Bench, method: Method | None, run: Run, folder: Path) -> bool:
    """Whether `inspect` asks for what this finished run has not, and its adapter is there to be measured."""
    wanted = bench.config.inspect and run.seed == min(bench.config.seeds) and run.inspection is None
    if not wanted or method is None or not of_a_kind_that_is_measured(method.adapter):
        return False
    return (folder / ADAPTER).is_dir()


def _with_inspection(bench: Bench, method: Method, run: Run, folder: Path) -> Run:
    """The finished run with the inspection of its saved adapter, also written to its record."""
    run = replace(run, inspection=inspected_from(folder / ADAPTER, bench.loaded, method, bench.data.validation))
    write_json(folder / RECORD, {**read_record(folder / RECORD)[0], "run": run.to_json()})
    return run


def _make(
    bench: Bench,
    method: Method | None,
    seed: int,
    judging: EvaluationConfig,
    folder: Path,
    keep_adapter: bool,
    key: str,
) -> Run:
    started, clock = datetime.now(UTC).isoformat(timespec="seconds"), time.perf_counter()
    try:
        run = _judged(bench, method, seed, judging, folder if keep_adapter else None)
    except DivergedError as error:  # an outcome like any other: the method failed at this rate and seed
        run = _record(bench, method, seed, None, None, [], error.curve)
    if checksum(bench.loaded.model) != bench.base_checksum:
        raise QweftError(
            f"methods.{method.name if method else BASE} changes the base model (modules_to_save, or a start that "
            "rewrites base weights), which the runs of a comparison share; leave that out"
        )
    run = replace(run, started=started, seconds=time.perf_counter() - clock)
    config = {} if method is None else asdict(_run_config(bench, method, seed, judging))
    write_json(folder / RECORD, {"fingerprint": key, "run": run.to_json(), "config": config})
    return run


def _run_config(bench: Bench, method: Method, seed: int, judging: EvaluationConfig) -> RunConfig:
    """The run as `qweft train` would be told it, so that `qweft evaluate` finds its model and data."""
    model, data = bench.config.model, bench.config.data
    return RunConfig(model, data, method.adapter, _budget(bench, method, seed), judging, output=bench.config.output)


def _fingerprint(bench: Bench, method: Method | None, seed: int, judging: EvaluationConfig) -> str:
    """A hash of everything that decides what the run gives."""
    decides = {
        "judging": judging.compared() | _elsewhere(bench, judging),
        "training": None if method is None else _budget(bench, method, seed).decides(),
        "adapter": None if method is None else method.adapter,
    }
    return fingerprint(bench, decides)


def _elsewhere(bench: Bench, judging: EvaluationConfig) -> dict[str, Any]:
    """What the other rows are, where the loss on them is asked for."""
    return {"elsewhere": fingerprint_of({"elsewhere": bench.elsewhere})} if judging.forgetting else {}


def _budget(bench: Bench, method: Method, seed: int) -> TrainingConfig:
    training = bench.config.training
    steps = training.max_steps if method.steps is None else method.steps
    return replace(training, learning_rate=method.learning_rate, seed=seed, max_steps=steps)


def _judged(bench: Bench, method: Method | None, seed: int, judging: EvaluationConfig, keep: Path | None) -> Run:
    loaded, data = bench.loaded, bench.data
    pad = loaded.tokenizer.pad_token_id
    rows, texts = data.test, data.test_conversations
    if judging.split == "validation":
        rows, texts = data.validation, data.validation_conversations
    model, fitted = loaded.model, None
    if method is not None:
        set_seed(seed)
        budget = _budget(bench, method, seed)
        model = put_on(loaded.model, method.adapter, steps_of(budget, len(data.train)))
        try:
            fitted = fit(model, data.train, pad, budget, f"{method.name}, seed {seed}")
        except BaseException:
            take_off(model, method.adapter)
            raise
    found = held_out_loss(model, rows, pad, judging.batch_size)
    first = seed == min(bench.config.seeds)
    shown = texts[: judging.answers] if first else []
    answers = generate_answers(model, data.tokenizer, shown, judging.max_new_tokens) if shown else []
    forgetting = None
    if judging.forgetting is not None:
        there = held_out_loss(model, bench.elsewhere, pad, judging.batch_size)
        forgetting = {"source": judging.forgetting, "loss": there.loss, "row_losses": _rows(there)}
    inspection, size = None, None
    if method is not None:
        if bench.config.inspect and first:
            inspection = inspected(model, method, data.validation, pad)
        if keep is not None:
            save_adapter(model, keep / ADAPTER)
            size = weights_bytes(keep / ADAPTER)
        take_off(model, method.adapter)
    run = _record(bench, method, seed, fitted, found, answers, fitted.curve if fitted else ())
    return replace(
        run, inspection=inspection, eval_row_groups=_groups(texts), adapter_bytes=size, forgetting=forgetting
    )


def _rows(found: HeldOutLoss) -> tuple[tuple[float, int], ...]:
    return tuple((round(total, 6), tokens) for total, tokens in found.rows)


def _groups(texts: Sequence[Conversation]) -> tuple[int, ...]:
    """The group of each row as a number; empty where no two rows share one."""
    numbers = {group: number for number, group in enumerate(dict.fromkeys(text.group for text in texts))}
    return tuple(numbers[text.group] for text in texts) if len(numbers) < len(texts) else ()


def _record(
    bench: Bench,
    method: Method | None,
    seed: int,
    fitted: Fit | None,
    found: HeldOutLoss | None,
    answers: list[Answer],
    curve: tuple[tuple[int, float], ...],
) -> Run:
    return Run(
        model=bench.loaded.source.name,
        data=bench.config.data.source,
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
    )
