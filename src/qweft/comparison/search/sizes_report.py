"""The results of a search over sizes: JSON, a table, and a plot of validation loss against trained parameters."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from qweft.comparison.report.figures import Point, draw_points, front
from qweft.comparison.report.table import Rows, table_of
from qweft.comparison.results import Run
from qweft.comparison.search.configurations import format_value
from qweft.core.text import many
from qweft.figures.figure import ReportFigure
from qweft.figures.styles import styles

FIGURE = "loss_by_size"
OF_RUN = (
    "trainable_parameters", "train_loss", "train_loss_curve", "steps", "step_seconds_median", "seconds",
    "cpu_by_others", "adapter", "learning_rate",
)  # fmt: skip
"""Fields of a trial's run in the JSON."""
HEIGHT = 3.9
"""Height of the plot in inches."""


@dataclass(frozen=True)
class SizeTrial:
    """One configuration of the space, trained and evaluated."""

    number: int
    values: dict[str, Any]  # by axis
    run: Run

    @property
    def loss(self) -> float:
        """The validation loss; infinity if it diverged or ran out of memory."""
        return math.inf if self.run.eval_loss is None else self.run.eval_loss

    @property
    def outcome(self) -> str:
        """How it ended: complete, diverged or out of memory."""
        return "complete" if math.isfinite(self.loss) else self.run.failure or "diverged"

    def to_json(self) -> dict[str, Any]:
        """Return the trial as a JSON-compatible dict."""
        return {
            "number": self.number,
            "state": self.outcome,
            "values": self.values,
            "validation_loss": self.run.eval_loss,
            "standard_error": self.run.eval_standard_error,
            **{name: getattr(self.run, name) for name in OF_RUN},
        }


def ranked(trials: Sequence[SizeTrial]) -> list[SizeTrial]:
    """Return the trials, the lowest validation loss first, those that diverged last."""
    return sorted(trials, key=lambda trial: (trial.loss, trial.number))


def best_of(trials: Sequence[SizeTrial]) -> SizeTrial | None:
    """Return the trial with the lowest validation loss, the first among equals; `None` if none has one."""
    complete = completed(trials)
    return ranked(complete)[0] if complete else None


def completed(trials: Sequence[SizeTrial]) -> list[SizeTrial]:
    """Return the trials that have a loss."""
    return [trial for trial in trials if math.isfinite(trial.loss)]


def front_of(trials: Sequence[SizeTrial]) -> list[int]:
    """Return the numbers of the trials on the Pareto front of loss against parameters, smallest first."""
    return [int(point.method) for point in front(_points(trials))]


def _points(trials: Sequence[SizeTrial]) -> list[Point]:
    return [
        Point(str(trial.number), trial.run.trainable_parameters, trial.loss, (trial.loss,))
        for trial in completed(trials)
    ]


def sizes_table(trials: Sequence[SizeTrial], title: str) -> Table:
    """Return the trials as a table, the best first and those on the front bold."""
    on_front = set(front_of(trials))
    rows: Rows = [("trial", *trials[0].values, "trained parameters", "validation loss")]
    weights = []
    for trial in ranked(trials):
        loss = f"{trial.loss:.4f}" if math.isfinite(trial.loss) else trial.outcome
        values = [format_value(value) for value in trial.values.values()]
        rows.append((str(trial.number), *values, f"{trial.run.trainable_parameters:,}", loss))
        weights.append("bold" if trial.number in on_front else "")
    return table_of(rows, title, weights)


def sizes_figure(trials: Sequence[SizeTrial], base_loss: float | None) -> ReportFigure | None:
    """Return the plot; trials worse than the untouched model, which would flatten the others, are left out."""
    points = _points(trials)
    if not points:
        return None
    drawn = [point for point in points if base_loss is None or point.loss <= base_loss]
    if not drawn:
        drawn = points
    on_front = [str(number) for number in front_of(trials)]
    looks = styles([*on_front, *(point.method for point in drawn)])
    caption = (
        "Nats a token on the validation rows. Large and in the key: the front, which no other trial beats in both."
    )
    if len(drawn) < len(points):
        caption += f" Left out: {many(len(points) - len(drawn), 'trial')} worse than the untouched model."
    return ReportFigure(
        name=FIGURE,
        title="Validation loss against trained parameters",
        caption=caption,
        description=f"On the front: trials {', '.join(on_front)}.",
        height=HEIGHT,
        draw=lambda figure: draw_points(figure, drawn, looks, on_front),
    )
