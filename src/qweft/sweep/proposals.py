"""The configuration of the next trial: drawn by Optuna's samplers, among those that fit the budget.

What is proposed follows from the configuration, the trial's number and the outcomes of the trials that are at least
`at_once` back, and from nothing else. So it does not matter how many processes make the trials, nor where.
"""

import hashlib
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from qweft.comparison.sizes import count
from qweft.errors import QweftError, require
from qweft.sweep.space import Axis, Point, Space, key_of

STARTUP = 5
"""So many trials are drawn at random before tpe has something to learn from."""

LEARNED, DRAWS = 20, 200
"""So often the sampler is asked for a configuration that fits and is new, and then chance, in all."""

COUNTED = 20_000
"""A space of no more points is looked through to its end before it is said to be exhausted."""


@dataclass(frozen=True)
class Sampling:
    """How points are drawn.

    Args:
        sampler: "tpe", "random" or "grid".
        at_once: tpe looks at those trials only that are at least so far back.
        seed: Seeds the draws.
    """

    sampler: str
    at_once: int
    seed: int


@dataclass(frozen=True)
class Known:
    """A trial that was proposed before.

    Args:
        point: Its configuration.
        loss: Its validation loss, infinite where it diverged; `None` where the proposal may not look at it.
    """

    point: Point
    loss: float | None


@dataclass
class Fitting:
    """Counts configurations from shapes alone, each once.

    Args:
        space: What varies, and what is fixed.
        max_parameters: A point that trains more does not fit; `None` sets no limit.
        model: The base model on the meta device.
        counts: Trained parameters of what was counted; the reason where it cannot be built.
        refused: So many points did not fit, a point counted as often as it was asked for.
    """

    space: Space
    max_parameters: int | None
    model: nn.Module
    counts: dict[str, int | str] = field(default_factory=dict)
    refused: int = 0

    def fits(self, point: Point) -> bool:
        """Whether the point may be trained."""
        found = self._count(self.space.resolved(point)[0])
        if isinstance(found, int) and (self.max_parameters is None or found <= self.max_parameters):
            return True
        self.refused += 1
        return False

    def parameters(self, point: Point) -> int:
        """What the point trains.

        Raises:
            QweftError: If it cannot be built.
        """
        found = self._count(self.space.resolved(point)[0])
        if isinstance(found, str):
            raise QweftError(found)
        return found

    def reason(self, point: Point) -> str:
        """Why the point does not fit."""
        found = self._count(self.space.resolved(point)[0])
        return found if isinstance(found, str) else f"{found:,} parameters, more than max_parameters"

    def _count(self, adapter: dict[str, Any]) -> int | str:
        key = key_of(adapter)
        if key not in self.counts:
            try:
                self.counts[key] = count(self.model, adapter)
            except QweftError as error:
                self.counts[key] = str(error)
        return self.counts[key]


def optuna() -> Any:
    """The package, which reports errors alone.

    Raises:
        QweftError: If it is not installed.
    """
    package = require("optuna", "sweep", "a sweep")
    package.logging.set_verbosity(package.logging.ERROR)
    return package


def distribution(axis: Axis) -> Any:
    """The axis as Optuna knows it."""
    kinds = optuna().distributions
    if axis.values:
        return kinds.CategoricalDistribution([axis.encoded(value) for value in axis.values])
    if axis.whole:
        return kinds.IntDistribution(axis.low, axis.high, log=axis.log, step=axis.step or 1)
    return kinds.FloatDistribution(axis.low, axis.high, log=axis.log, step=axis.step)


def frozen(axes: Sequence[Axis], point: Point, loss: float | None) -> Any:
    """A trial as Optuna keeps it: running without a loss, pruned with an infinite one."""
    package = optuna()
    states = package.trial.TrialState
    state = states.RUNNING if loss is None else states.COMPLETE if math.isfinite(loss) else states.PRUNED
    return package.trial.create_trial(
        state=state,
        value=loss if state == states.COMPLETE else None,
        params={axis.name: axis.encoded(point[axis.name]) for axis in axes},
        distributions={axis.name: distribution(axis) for axis in axes},
    )


def propose(sampling: Sampling, fitting: Fitting, known: Sequence[Known]) -> Point | None:
    """The configuration of trial number len(known); `None` where the space has no further one that fits."""
    space, seen = fitting.space, {key_of(each.point) for each in known}
    if sampling.sampler != "grid":
        for attempt in range(DRAWS):
            learning = sampling.sampler == "tpe" and attempt < LEARNED
            point = draw(space.axes, sampling.seed, known, attempt, learning)
            if key_of(point) not in seen and fitting.fits(point):
                return point
        if space.size > COUNTED:
            return None
    return next((point for point in space.grid() if key_of(point) not in seen and fitting.fits(point)), None)


def draw(axes: Sequence[Axis], seed: int, known: Sequence[Known], attempt: int, learning: bool) -> Point:
    """A point of the space.

    Args:
        axes: Of the space.
        seed: Of all draws of the sweep.
        known: The trials before.
        attempt: Draws of the same trial differ by it.
        learning: Whether it is drawn where the trials before were good.
    """
    package = optuna()
    own_seed = int.from_bytes(hashlib.sha256(f"{seed} {len(known)} {attempt}".encode()).digest()[:4])
    if learning:
        sampler = package.samplers.TPESampler(seed=own_seed, n_startup_trials=STARTUP, constant_liar=True)
    else:
        sampler = package.samplers.RandomSampler(seed=own_seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # choices that are not numbers or texts, and what is experimental
        study = package.create_study(sampler=sampler)
        if learning:
            study.add_trials([frozen(axes, each.point, each.loss) for each in known])
        drawn = study.ask({axis.name: distribution(axis) for axis in axes}).params
    return {axis.name: axis.decoded(drawn[axis.name]) for axis in axes}
