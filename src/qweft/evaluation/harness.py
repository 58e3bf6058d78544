"""Tasks of lm-evaluation-harness, run through its Python API on a loaded model."""

import contextlib
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from qweft.core.errors import QweftError, require
from qweft.core.progress import progress
from qweft.evaluation.loss import judged
from qweft.evaluation.scores import Compared, Score, compare_means

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
            f"evaluation.lm_eval {named}: {type(error).__name__}: {reason[:200]}; lm-eval ls tasks lists the tasks"
        ) from error
    return {key: found[key] for key in RELEVANT if key in found}


def compare_harness(base: dict[str, Any], adapted: dict[str, Any]) -> list[Compared]:
    """Compare two models' results by task and metric, with paired errors of differences where the metric is a mean."""
    compared = []
    for task, results in base["results"].items():
        for key, value in results.items():
            if isinstance(value, int | float) and "," in key and "_stderr," not in key:
                (one, its_values), (other, values) = (_score(found, task, key) for found in (base, adapted))
                difference = Score(other.value - one.value, None, len(values))
                if values and len(values) == len(its_values):
                    paired = compare_means("", its_values, values).difference
                    if abs(paired.value - difference.value) < 1e-9:  # else the metric is no mean
                        difference = paired
                metric, _, kept = key.partition(",")
                name = f"{task} {metric}" + ("" if kept == "none" else f" ({kept})")
                compared.append(Compared(name, one, other, difference, note="lm-evaluation-harness"))
    return compared


def _score(found: dict[str, Any], task: str, key: str) -> tuple[Score, list[float]]:
    """Return a model's score by a metric, and its values for the examples."""
    metric, _, kept = key.partition(",")
    values = [
        float(sample[metric])
        for sample in found.get("samples", {}).get(task, ())
        if isinstance(sample.get(metric), int | float) and sample.get("filter", kept) == kept  # one a filter
    ]
    error = found["results"][task].get(f"{metric}_stderr,{kept}")
    counted = found.get("n-samples", {}).get(task, {}).get("effective", len(values))
    value = float(found["results"][task][key])
    return Score(value, float(error) if isinstance(error, int | float) else None, counted), values


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
