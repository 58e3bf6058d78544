"""Generated answers scored: two models' answers to the same prompts, by the metrics of the folder `metrics`."""

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import qweft.evaluation.metrics as folder
from qweft.data.conversation import Conversation
from qweft.evaluation.answers import Answer
from qweft.evaluation.scores import Compared
from qweft.extras import require


@dataclass(frozen=True)
class Both:
    """The answers of both models to the same prompts.

    Args:
        base: The base model's.
        adapted: The adapted model's.
    """

    base: Sequence[Answer]
    adapted: Sequence[Answer]

    @property
    def pairs(self) -> list[tuple[Answer, Answer]]:
        """By row: the base model's answer and the adapted one's."""
        return list(zip(self.base, self.adapted, strict=True))


@dataclass(frozen=True)
class AnswerMetric:
    """What a module of `metrics` declares.

    Args:
        score: From (source of the data, what was asked, answers) to scores, which are the lines of the table, and to
            what was found of each row as JSON holds it, `None` for a row that was not judged; no list where it judges
            no single rows. Raises `QweftError` where it has nothing to go by.
        check: Sees that data of this source can be scored; raises `QweftError`.
        packages: Packages that it needs.
        extra: Our extra that installs them.
    """

    score: Callable[[str, Sequence[Conversation], Both], tuple[list[Compared], list[Any]]]
    check: Callable[[str], None] = lambda source: None
    packages: tuple[str, ...] = ()
    extra: str = ""


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
