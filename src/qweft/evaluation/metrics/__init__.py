"""Metrics of generated answers, one module each, which defines an `AnswerMetric` as METRIC."""

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qweft.core.errors import require
from qweft.data.conversation import Conversation

if TYPE_CHECKING:
    from qweft.evaluation.generation import Answer
    from qweft.evaluation.scores import Compared

Score = Callable[
    [str, Sequence[Conversation], Sequence["Answer"], Sequence["Answer"]], tuple[list["Compared"], list[Any]]
]


@dataclass(frozen=True)
class AnswerMetric:
    """A metric of generated answers, declared as METRIC by a module of `metrics`."""

    score: Score  # source, conversations, base and adapted answers -> scores, each row's result
    check: Callable[[str], None] = lambda source: None  # raises `QweftError` if a source cannot be scored
    check_rows: Callable[[Sequence[str]], None] = lambda references: None  # the same of the reference answers
    packages: tuple[str, ...] = ()  # of the extra "metrics"


def metric_of(name: str) -> AnswerMetric:
    """Return a metric by the name of its module."""
    metric: AnswerMetric = importlib.import_module(f"qweft.evaluation.metrics.{name}").METRIC
    return metric


def check_packages(metrics: Sequence[str]) -> None:
    """Raise a `QweftError` if a package that one of these metrics needs is missing, before a model is loaded."""
    for name in metrics:
        for package in metric_of(name).packages:
            require(package, "metrics", f"evaluation.metrics {name}")


def score_answers(
    metrics: Sequence[str],
    source: str,
    conversations: Sequence[Conversation],
    base: Sequence["Answer"],
    adapted: Sequence["Answer"],
) -> tuple[list["Compared"], list[dict[str, Any]]]:
    """Return the scores of the requested metrics, and each row's results by metric."""
    scores: list[Compared] = []
    rows: list[dict[str, Any]] = [{} for _ in conversations]
    for name in metrics:
        of_metric, judged = metric_of(name).score(source, conversations, base, adapted)
        scores += of_metric
        for row, of_row in zip(rows, judged, strict=False):
            if of_row is not None:
                row[name] = of_row
    return scores, rows
