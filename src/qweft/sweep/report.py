"""The results of a sweep: JSON, a Markdown page, and a plot of validation loss against trained parameters."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qweft.comparison.report.figures import Point as Place
from qweft.comparison.report.figures import draw_points, front, off_scale
from qweft.comparison.report.write import fenced
from qweft.comparison.results import Run
from qweft.comparison.results_file import check_free_of_others
from qweft.comparison.table import EMPTY, markdown_rows
from qweft.figures.figure import ReportFigure
from qweft.figures.styles import Style
from qweft.files import write_bytes
from qweft.records import write_record
from qweft.sweep.space import Axis, Point, point_said, said
from qweft.text import escaped, many, plain

NUMBERS = "sweep.json"
PAGE = "sweep.md"
FIGURE = "loss_by_size"
RECORDED = (
    "trainable_parameters", "train_loss", "train_loss_curve", "steps", "step_seconds_median", "seconds",
    "cpu_by_others", "adapter", "learning_rate",
)  # fmt: skip
"""Fields of a trial's run in the JSON."""


@dataclass(frozen=True)
class Trial:
    """One configuration, trained and evaluated."""

    number: int
    point: Point
    run: Run

    @property
    def loss(self) -> float:
        """The validation loss; infinity if it diverged or ran out of memory."""
        return math.inf if self.run.eval_loss is None else self.run.eval_loss

    @property
    def ended(self) -> str:
        """How it ended: complete, diverged or out of memory."""
        return "complete" if math.isfinite(self.loss) else self.run.failure or "diverged"

    def to_json(self) -> dict[str, Any]:
        """Return the trial as a JSON-compatible dict."""
        losses = {"validation_loss": self.run.eval_loss, "standard_error": self.run.eval_standard_error}
        of_run = {name: getattr(self.run, name) for name in RECORDED}
        return {"number": self.number, "state": self.ended, "values": self.point, **losses, **of_run}


@dataclass(frozen=True)
class Outcome:
    """The results of a whole sweep."""

    title: str
    axes: Sequence[Axis]
    trials: Sequence[Trial]
    base_loss: float | None
    test: dict[str, float | None] | None
    refused: int
    ended: str
    config_yaml: str = ""
    environment: dict[str, Any] = field(default_factory=dict)
    judged: int = 1

    @property
    def best(self) -> Trial | None:
        """The trial with the lowest validation loss."""
        return best_of(self.trials)

    @property
    def places(self) -> list[Place]:
        """The trials that have a loss, by parameters and loss."""
        return [
            Place(str(each.number), each.run.trainable_parameters, each.loss, (each.loss,))
            for each in self.trials
            if math.isfinite(each.loss)
        ]

    @property
    def front(self) -> list[int]:
        """Numbers of the trials that no other beats in both loss and parameters, smallest first."""
        return [int(place.method) for place in front(self.places)]

    def to_json(self) -> dict[str, Any]:
        """Return the outcome as a JSON-compatible dict."""
        return {
            "title": self.title,
            "space": {axis.name: axis.describe() for axis in self.axes},
            "trials": [trial.to_json() for trial in self.trials],
            "base_validation_loss": self.base_loss,
            "best": None if self.best is None else self.best.number,
            "front": self.front,
            "test": self.test,
            "refused": self.refused,
            "ended": self.ended,
            "environment": self.environment,
            "config_yaml": self.config_yaml,
        }


def best_of(trials: Sequence[Trial]) -> Trial | None:
    """Return the trial with the lowest validation loss, the first among equals; `None` if none has one."""
    best = min(trials, key=lambda trial: (trial.loss, trial.number), default=None)
    return best if best is not None and math.isfinite(best.loss) else None


def check_swept(folder: Path) -> None:
    """Raise if a sweep would replace a file that no sweep wrote."""
    check_free_of_others(folder, "sweep", {"space", "trials"}, [NUMBERS, PAGE, f"{FIGURE}.png"])


def write(outcome: Outcome, folder: Path) -> Path:
    """Write all files and return the page's path."""
    write_record(folder / NUMBERS, outcome.to_json())
    figure = size_figure(outcome)
    blocks = [f"# {escaped(outcome.title)}", *(f"- {escaped(line)}" for line in lines(outcome))]
    if figure is not None:
        figure.write(folder)
        picture = f"![{escaped(figure.title)}. {escaped(figure.description)}]({figure.file})"
        blocks += ["", picture, "", f"*{figure.title}.* {figure.caption}"]
    blocks += ["", table(outcome).rstrip(), "", "Losses in nats a token on the validation rows; * is the front."]
    command = outcome.environment.get("command")
    blocks += ["", *(fenced(text, kind) for text, kind in ((command, "sh"), (outcome.config_yaml, "yaml")) if text)]
    write_bytes(folder / PAGE, plain("\n".join(blocks) + "\n").encode())  # `cat` would else obey a file's name
    return folder / PAGE


def lines(outcome: Outcome) -> list[str]:
    """Return the outcome as sentences."""
    text, best = [outcome.ended], outcome.best
    if outcome.refused:
        text.append(f"{many(outcome.refused, 'draw')} not trained: too many parameters, or not to be built.")
    if outcome.base_loss is not None:
        text.append(f"The untouched model: validation loss {outcome.base_loss:.4f}.")
    if failed := [each for each in outcome.trials if each.run.failure is not None]:
        text.append(
            f"{many(len(failed), 'trial')} ran out of memory, the first of them trial {failed[0].number}; once more "
            "memory is free, remove their folders, and the same command makes them again."
        )
    if best is None:
        return [*text, "No trial has a loss: lower the learning rates."]
    text.append(
        f"The best is trial {best.number} ({point_said(best.point)}): {best.run.trainable_parameters:,} parameters, "
        f"validation loss {best.loss:.4f}."
    )
    if outcome.test is not None:
        loss, base = _loss(outcome.test["adapted"], outcome.test["standard_error"]), _loss(outcome.test["base"])
        text.append(
            f"Its test loss is {loss} (± is the standard error over the rows), the untouched model's {base}; "
            f"{many(outcome.judged - 1, 'other trial')} had been judged on the test rows before."
        )
    return text


def table(outcome: Outcome) -> str:
    """Return the trials as a Markdown table, the lowest loss first, those without one last."""
    names = [axis.name.partition(".")[2] for axis in outcome.axes]
    rows = [["trial", *map(escaped, names), "parameters", "train loss", "validation loss"]]
    for trial in sorted(outcome.trials, key=lambda trial: (trial.loss, trial.number)):
        run = trial.run
        rows.append(
            [
                f"{trial.number}{' *' if trial.number in outcome.front else ''}",
                *(escaped(said(trial.point[axis.name])) for axis in outcome.axes),
                f"{run.trainable_parameters:,}",
                EMPTY if run.train_loss is None else f"{run.train_loss:.3f}",
                _loss(run.eval_loss, run.eval_standard_error) if math.isfinite(trial.loss) else trial.ended,
            ]
        )
    return markdown_rows(rows)


def _loss(loss: float | None, error: float | None = None) -> str:
    """Return a loss as text, with its standard error if it has one: a single row has none."""
    if loss is None:
        return "not a number"
    return f"{loss:.4f}" if error is None else f"{loss:.4f} ± {error:.4f}"


def size_figure(outcome: Outcome) -> ReportFigure | None:
    """Return the figure, or `None` if no trial has a loss; trials worse than the untouched model flatten the others."""
    base, places = outcome.base_loss, outcome.places
    drawn = [place for place in places if base is None or place.loss <= base] or places
    if not drawn:
        return None
    left = len(places) - len(drawn)
    texts = "; ".join(f"trial {place.method}: {place.size:,}, loss {place.loss:.3f}" for place in places)
    looks = dict.fromkeys([place.method for place in drawn], Style(colour=0, dash=0, marker="o"))
    line, named = None if off_scale(base, drawn) else base, set(map(str, outcome.front))
    return ReportFigure(
        FIGURE,
        "Validation loss against trained parameters",
        "Nats a token on the validation rows. Large and numbered: the front, which no other trial beats in both."
        + (f" Left out: {many(left, 'trial')} worse than the untouched model." if left else ""),
        f"On the front: trials {', '.join(map(str, outcome.front))}. {texts}.",
        3.9,
        lambda figure: draw_points(figure, drawn, looks, named, line),
    )
