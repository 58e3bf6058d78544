"""Scores of two models' answers to the same prompts, by the metrics of `qweft.evaluation.metrics`."""

import importlib
from collections.abc import Sequence
from typing import Any

import qweft.evaluation.metrics as folder
from qweft.data.conversation import Conversation
from qweft.errors import require
from qweft.evaluation.metric import AnswerMetric, Both
from qweft.evaluation.scores import Compared


def metric_of(name: str) -> AnswerMetric:
    """Return a metric by its name, one of `metrics.names()`."""
    metric: AnswerMetric = importlib.import_module(f"{folder.__name__}.{name}").METRIC
    return metric


def check_packages(metrics: Sequence[str]) -> None:
    """Raise a `QweftError` if a package that one of these metrics needs is missing, before a model is loaded."""
    for name in metrics:
        metric = metric_of(name)
        for package in metric.packages:
            require(package, metric.extra, f"evaluation.metrics {name}")


def check_rows(metrics: Sequence[str], conversations: Sequence[Conversation], tokenizer: Any) -> None:
    """Check that these metrics can score some of the rows, before models answer them."""
    from qweft.evaluation.generation import prompt_of  # here, since a refusal of a metric needs no PyTorch

    references = [prompt_of(each, tokenizer).reference for each in conversations] if metrics else []
    for name in metrics:
        metric_of(name).check_rows(references)


def score_answers(
    metrics: Sequence[str], source: str, conversations: Sequence[Conversation], both: Both
) -> tuple[list[Compared], list[dict[str, Any]]]:
    """Return the scores of the requested metrics, and each row's results by metric."""
    scores: list[Compared] = []
    rows: list[dict[str, Any]] = [{} for _ in conversations]
    for name in (name for name in folder.names() if name in metrics):
        of_metric, judged = metric_of(name).score(source, conversations, both)
        scores += of_metric
        for row, of_row in zip(rows, judged or [None] * len(rows), strict=True):
            if of_row is not None:
                row[name] = of_row
    return scores, rows
