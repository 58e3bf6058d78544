"""Tasks of lm-evaluation-harness, run through its Python API on a loaded model."""

import contextlib
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from qweft.errors import QweftError, require
from qweft.evaluation.loss import judged
from qweft.evaluation.scores import Compared, Score, compare_means
from qweft.text import progress

EXTRA, WHAT = "lm-eval", "evaluation.lm_eval"
RELEVANT = ("results", "samples", "n-samples", "versions", "configs")


def check_harness(tasks: Sequence[str]) -> None:
    """Check that the package is installed and that the tasks' .yaml files exist."""
    require("lm_eval", EXTRA, WHAT)
    for task in tasks:
        if task.endswith((".yaml", ".yml")) and not Path(task).is_file():
            raise QweftError(f"evaluation.lm_eval {task}: there is no such file; give a task's name, or its .yaml file")


def run_harness(model: Any, tokenizer: Any, tasks: Sequence[str], limit: int | None, batch_size: int) -> dict[str, Any]:
    """Run tasks on a model."""
    lm_eval = require("lm_eval", EXTRA, WHAT)
    wrapped = require("lm_eval.models.huggingface", EXTRA, WHAT).HFLM
    named = ", ".join(tasks)
    try:
        with judged(model), _undone(tokenizer), progress(f"tasks {named}"):
            language_model = wrapped(pretrained=model, tokenizer=tokenizer, batch_size=batch_size)
            found = lm_eval.simple_evaluate(model=language_model, tasks=[*tasks], limit=limit)
    except Exception as error:
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
        raise QweftError(
            f"evaluation.lm_eval {named}: the harness stopped ({type(error).__name__}: {reason[:200]}); its tasks are "
            "by name (lm-eval ls tasks), most of them need the hub; a .yaml file may be a task of local data"
        ) from error
    return {key: found[key] for key in RELEVANT if key in found}


def compare_harness(base: dict[str, Any], adapted: dict[str, Any]) -> list[Compared]:
    """Compare two models' results by task and metric.

    Standard errors of the models are the harness's. That of a difference is paired by examples; it is `None` if the
    metric is not the mean of recorded values.
    """
    return [
        _compare(base, adapted, task, key)
        for task, values in base["results"].items()
        for key in values
        if isinstance(values[key], int | float) and "," in key and "_stderr," not in key
    ]


def _compare(base: dict[str, Any], adapted: dict[str, Any], task: str, key: str) -> Compared:
    metric, _, kept = key.partition(",")
    name = f"{task} {metric}" + ("" if kept == "none" else f" ({kept})")
    values = [
        [
            float(sample[metric])
            for sample in found.get("samples", {}).get(task, ())
            if isinstance(sample.get(metric), int | float) and sample.get("filter", kept) == kept  # one a filter
        ]
        for found in (base, adapted)
    ]
    paired = compare_means(name, values[0], values[1]) if values[0] and len(values[0]) == len(values[1]) else None
    scores = [_score(found, task, metric, kept, len(values[0])) for found in (base, adapted)]
    value = scores[1].value - scores[0].value
    # the harness may aggregate a metric in another way than by its mean; the error of a mean does not apply then
    is_mean = paired is not None and abs(paired.difference.value - value) < 1e-9
    error = paired.difference.standard_error if paired is not None and is_mean else None
    return Compared(name, scores[0], scores[1], Score(value, error, len(values[0])), note="lm-evaluation-harness")


def _score(found: dict[str, Any], task: str, metric: str, kept: str, rows: int) -> Score:
    values = found["results"][task]
    error = values.get(f"{metric}_stderr,{kept}")
    counted = found.get("n-samples", {}).get(task, {}).get("effective", rows)
    return Score(float(values[f"{metric},{kept}"]), float(error) if isinstance(error, int | float) else None, counted)


@contextlib.contextmanager
def _undone(tokenizer: Any) -> Iterator[None]:
    """Silence the harness's log below errors, and restore the tokenizer's padding side, which it sets."""
    logger, side = logging.getLogger("lm_eval"), tokenizer.padding_side
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
        tokenizer.padding_side = side
