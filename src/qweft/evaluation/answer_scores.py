"""Scores of two models' answers to the same prompts, by the metrics of `qweft.evaluation.metrics`."""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import qweft.evaluation.metrics as folder
from qweft.data.conversation import Conversation
from qweft.errors import require
from qweft.evaluation.metric import AnswerMetric, Both
from qweft.evaluation.scores import Compared


@dataclass(frozen=True)
class AnswerScores:
    """Scores of generated answers.

    Args:
        scores: The scores of all metrics.
        rows: One dict per row, from a metric's name to its result for that row, for metrics that score single rows.
    """

    scores: list[Compared]
    rows: list[dict[str, Any]]


def metric_of(name: str) -> AnswerMetric:
    """Return a metric by its name, one of `metrics.names()`."""
    return importlib.import_module(f"{folder.__name__}.{name}").METRIC


def check_packages(metrics: Sequence[str]) -> None:
    """Check that the packages of these metrics are installed, before a model is loaded.

    Raises:
        QweftError: If a package is missing.
    """
    for name in metrics:
        metric = metric_of(name)
        for package in metric.packages:
            require(package, metric.extra, f"evaluation.metrics {name}")


def check_rows(metrics: Sequence[str], conversations: Sequence[Conversation], tokenizer: Any) -> None:
    """Check that these metrics can score some of the rows, before models answer them.

    Args:
        metrics: Names of the metrics.
        conversations: The conversations with their reference answers.
        tokenizer: The model's tokenizer, with the run's template.

    Raises:
        QweftError: One can score none, or the template refuses a prompt.
    """
    from qweft.evaluation.generation import prompt_of  # here, since a refusal of a metric needs no PyTorch

    references = [prompt_of(each, tokenizer).reference for each in conversations] if metrics else []
    for name in metrics:
        metric_of(name).check_rows(references)


def score_answers(
    metrics: Sequence[str], source: str, conversations: Sequence[Conversation], both: Both
) -> AnswerScores:
    """Score both models' answers by the requested metrics.

    Args:
        metrics: Names of the metrics.
        source: Source of the data, which may have a verifier.
        conversations: The conversations with their reference answers.
        both: The generated answers.

    Raises:
        QweftError: If a package is missing, or a metric cannot score any of these rows.
    """
    found: list[Compared] = []
    rows: list[dict[str, Any]] = [{} for _ in conversations]
    for name in (name for name in folder.names() if name in metrics):
        scores, judged = metric_of(name).score(source, conversations, both)
        found += scores
        for row, of_row in zip(rows, judged or [None] * len(rows), strict=True):
            if of_row is not None:
                row[name] = of_row
    return AnswerScores(found, rows)
