"""The results of a sweep: JSON, a Markdown page, and a plot of validation loss against trained parameters."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qweft.comparison.report.page import fenced
from qweft.comparison.report.pareto import Point as Place
from qweft.comparison.report.pareto import draw_points, front, off_scale
from qweft.comparison.results import Run
from qweft.comparison.results_file import check_free_of_others
from qweft.comparison.table import EMPTY, markdown_rows
from qweft.figures.figure import ReportFigure
from qweft.figures.styles import Style
from qweft.files import write_bytes
from qweft.records import write_record
from qweft.sweep.propose import frozen, optuna
from qweft.sweep.space import Axis, Point, point_said, said
from qweft.text import escaped, many, plain

NUMBERS = "sweep.json"
PAGE = "sweep.md"
FIGURE = "loss_by_size"
IMPORTANCE_FROM = 10
"""With fewer finished trials than this, no importance is reported."""


@dataclass(frozen=True)
class Trial:
    """One configuration, trained and evaluated."""

    number: int
    point: Point
    run: Run

    @property
    def ended(self) -> str:
        """How it ended: complete, diverged or out of memory."""
        return "complete" if self.run.eval_loss is not None else self.run.failure or "diverged"

    def to_json(self) -> dict[str, Any]:
        """Return the trial as a JSON-compatible dict."""
        run = self.run
        return {
            "number": self.number,
            "state": self.ended,
            "values": self.point,
            "trainable_parameters": run.trainable_parameters,
            "validation_loss": run.eval_loss,
            "standard_error": run.eval_standard_error,
            "train_loss": run.train_loss,
            "train_loss_curve": run.train_loss_curve,
            "steps": run.steps,
            "step_seconds_median": run.step_seconds_median,
            "seconds": run.seconds,
            "cpu_by_others": run.cpu_by_others,
            "adapter": run.adapter,
            "learning_rate": run.learning_rate,
        }


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
        """The trial with the lowest validation loss, the first among equals; `None` if none has one."""
        return best_of(self.trials)

    @property
    def places(self) -> list[Place]:
        """The trials that have a loss, by parameters and loss."""
        return [
            Place(str(each.number), float(each.run.trainable_parameters), loss, (loss,))
            for each in self.trials
            if (loss := each.run.eval_loss) is not None
        ]

    @property
    def front(self) -> list[int]:
        """Numbers of the trials that no other beats in both loss and parameters, smallest first."""
        return [int(place.method) for place in front(self.places)]

    def importance(self) -> dict[str, float]:
        """Return the PED-ANOVA importance of each axis as a share of 1; empty with too few trials or a single axis."""
        trials = [
            frozen(self.axes, each.point, each.run.eval_loss) for each in self.trials if each.run.eval_loss is not None
        ]
        if len(trials) < IMPORTANCE_FROM or len(self.axes) < 2:
            return {}
        package = optuna()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            study = package.create_study()
            study.add_trials(trials)
            evaluator = package.importance.PedAnovaImportanceEvaluator()
            shares = package.importance.get_param_importances(study, evaluator=evaluator)
        return {name: share for name, share in shares.items() if math.isfinite(share)}

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
            "importance": self.importance(),
            "refused": self.refused,
            "ended": self.ended,
            "environment": self.environment,
            "config_yaml": self.config_yaml,
        }


def best_of(trials: Sequence[Trial]) -> Trial | None:
    """Return the trial with the lowest validation loss, the first among equals; `None` if none has one."""
    finished = [(trial.run.eval_loss, trial.number, trial) for trial in trials if trial.run.eval_loss is not None]
    return min(finished)[2] if finished else None


def check_swept(folder: Path) -> None:
    """Raise if a sweep would replace a file that no sweep wrote."""
    check_free_of_others(folder, "sweep", {"space", "trials"}, [NUMBERS, PAGE, f"{FIGURE}.png"])


def write(found: Outcome, folder: Path) -> Path:
    """Write all files and return the page's path."""
    write_record(folder / NUMBERS, found.to_json())
    figure = size_figure(found)
    blocks = [f"# {escaped(found.title)}", *(f"- {escaped(line)}" for line in lines(found))]
    if figure is not None:
        figure.write(folder)
        picture = f"![{escaped(figure.title)}. {escaped(figure.description)}]({figure.file})"
        blocks += ["", picture, "", f"*{figure.title}.* {figure.caption}"]
    blocks += ["", table(found).rstrip(), "", "Losses in nats a token on the validation rows; * is the front."]
    shares = found.importance()
    if shares:
        told = ", ".join(f"{name} {share:.0%}" for name, share in shares.items())
        blocks += ["", f"What the better trials differ in from the others (PED-ANOVA): {told}."]
    if found.environment.get("command"):
        blocks += ["", fenced(found.environment["command"], "sh")]
    if found.config_yaml:
        blocks += ["", fenced(found.config_yaml, "yaml")]
    write_bytes(folder / PAGE, plain("\n".join(blocks) + "\n").encode())  # `cat` would else obey a file's name
    return folder / PAGE


def lines(found: Outcome) -> list[str]:
    """Return the outcome as sentences."""
    told = [found.ended]
    if found.refused:
        told.append(f"{many(found.refused, 'draw')} not trained: too many parameters, or not to be built.")
    if found.base_loss is not None:
        told.append(f"The untouched model: validation loss {found.base_loss:.4f}.")
    if failed := [each for each in found.trials if each.run.failure is not None]:
        first = failed[0].number
        told.append(
            f"{many(len(failed), 'trial')} ran out of memory, the first of them trial {first}; once more memory is "
            "free, remove their folders, and the same command makes them again."
        )
    if found.best is None and len(failed) < len(found.trials):
        told.append(f"Every {'other ' if failed else ''}trial diverged: lower the learning rates.")
    if found.best is None:
        return told
    best = found.best
    told.append(
        f"The best is trial {best.number} ({point_said(best.point)}): {best.run.trainable_parameters:,} parameters, "
        f"validation loss {best.run.eval_loss:.4f}."
    )
    if found.test is not None:
        loss = _loss(found.test["adapted"], found.test["standard_error"])
        others = "no other trial was judged on the test rows"
        if found.judged > 1:
            others = f"{many(found.judged - 1, 'other trial')} had been judged on the test rows before"
        told.append(
            f"Its test loss is {loss} (± is the standard error over the rows), the untouched model's "
            f"{_loss(found.test['base'])}; {others}."
        )
    return told


def table(found: Outcome) -> str:
    """Return the trials as a Markdown table, the lowest loss first, those without one last."""
    names = [axis.name.partition(".")[2] for axis in found.axes]
    rows = [["trial", *map(escaped, names), "parameters", "train loss", "validation loss"]]

    def order(trial: Trial) -> tuple[float, int]:
        return (float("inf") if trial.run.eval_loss is None else trial.run.eval_loss, trial.number)

    for trial in sorted(found.trials, key=order):
        run = trial.run
        rows.append(
            [
                f"{trial.number}{' *' if trial.number in found.front else ''}",
                *(escaped(said(trial.point[axis.name])) for axis in found.axes),
                f"{run.trainable_parameters:,}",
                EMPTY if run.train_loss is None else f"{run.train_loss:.3f}",
                trial.ended if run.eval_loss is None else _loss(run.eval_loss, run.eval_standard_error),
            ]
        )
    return markdown_rows(rows)


def _loss(loss: float | None, error: float | None = None) -> str:
    """Return a loss as text, with its standard error if it has one: a single row has none."""
    if loss is None:
        return "not a number"
    return f"{loss:.4f}" if error is None else f"{loss:.4f} ± {error:.4f}"


def size_figure(found: Outcome) -> ReportFigure | None:
    """Return the figure, or `None` if no trial has a loss; trials worse than the untouched model flatten the others."""
    base, places = found.base_loss, found.places
    drawn = [place for place in places if base is None or place.loss <= base] or places
    if not drawn:
        return None
    named = set(map(str, found.front))
    left = len(places) - len(drawn)
    told = "; ".join(f"trial {place.method}: {place.cost:,.0f}, loss {place.loss:.3f}" for place in places)
    looks = dict.fromkeys([place.method for place in drawn], Style(colour=0, dash=0, marker="o"))
    line = None if off_scale(base, drawn) else base
    return ReportFigure(
        FIGURE,
        "Validation loss against trained parameters",
        "Nats a token on the validation rows. Large and numbered: the front, which no other trial beats in both."
        + (f" Left out: {many(left, 'trial')} worse than the untouched model." if left else ""),
        f"On the front: trials {', '.join(map(str, found.front))}. {told}.",
        3.9,
        lambda figure: draw_points(figure, drawn, "trained parameters", looks, named, line),
    )
