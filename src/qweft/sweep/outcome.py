"""`Outcome`: the results of a sweep."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from qweft.comparison.report.pareto import Point as Place
from qweft.comparison.report.pareto import front
from qweft.comparison.results import Run
from qweft.sweep.proposals import frozen, optuna
from qweft.sweep.space import Axis, Point

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
    def finished(self) -> list[tuple[Trial, float]]:
        """The trials that have a loss, with it."""
        return [(each, each.run.eval_loss) for each in self.trials if each.run.eval_loss is not None]

    @property
    def best(self) -> Trial | None:
        """The trial with the lowest validation loss, the first among equals; `None` if none has one."""
        return best_of(self.trials)

    @property
    def failed(self) -> list[Trial]:
        """The trials for which the memory was too small."""
        return [each for each in self.trials if each.run.failure is not None]

    @property
    def front(self) -> list[Trial]:
        """The trials that no other beats in both loss and parameters, smallest first."""
        by_number = {str(trial.number): trial for trial in self.trials}
        return [by_number[place.method] for place in front(self.places)]

    @property
    def places(self) -> list[Place]:
        """The finished trials by parameters and loss."""
        return [
            Place(str(each.number), float(each.run.trainable_parameters), loss, (loss,)) for each, loss in self.finished
        ]

    def importance(self) -> dict[str, float]:
        """Return the PED-ANOVA importance of each axis as a share of 1; empty with too few trials or a single axis."""
        if len(self.finished) < IMPORTANCE_FROM or len(self.axes) < 2:
            return {}
        package = optuna()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            study = package.create_study()
            study.add_trials([frozen(self.axes, trial.point, loss) for trial, loss in self.finished])
            evaluator = package.importance.PedAnovaImportanceEvaluator()
            found = package.importance.get_param_importances(study, evaluator=evaluator)
        return {name: share for name, share in found.items() if math.isfinite(share)}

    def to_json(self) -> dict[str, Any]:
        """Return the outcome as a JSON-compatible dict."""
        return {
            "title": self.title,
            "space": {axis.name: axis.describe() for axis in self.axes},
            "trials": [trial.to_json() for trial in self.trials],
            "base_validation_loss": self.base_loss,
            "best": None if self.best is None else self.best.number,
            "front": [trial.number for trial in self.front],
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
