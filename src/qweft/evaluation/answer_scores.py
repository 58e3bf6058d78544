"""Generated answers scored: two models' answers to the same prompts, by the metrics of the folder `metrics`."""

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
    """What came of scoring.

    Args:
        scores: Each metric.
        rows: For each row what each metric that judges single rows found, by the metric's name.
    """

    scores: list[Compared]
    rows: list[dict[str, Any]]


def metric_of(name: str) -> AnswerMetric:
    """The metric of that name, one of `metrics.names()`."""
    return importlib.import_module(f"{folder.__name__}.{name}").METRIC  # type: ignore[no-any-return]


def check_packages(metrics: Sequence[str]) -> None:
    """See that the packages of these metrics are there, before a model is loaded.

    Raises:
        QweftError: If one is not.
    """
    for name in metrics:
        metric = metric_of(name)
        for package in metric.packages:
            require(package, metric.extra, f"evaluation.metrics {name}")


def score_answers(
    metrics: Sequence[str], source: str, conversations: Sequence[Conversation], both: Both
) -> AnswerScores:
    """Score answers by the metrics that are asked for.

    Args:
        metrics: Their names.
        source: Of the data, whose verifier it may be.
        conversations: What was asked, with the answers on record.
        both: The answers.

    Raises:
        QweftError: A package is missing, or a metric has nothing to go by in these rows.
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
