"""Proposals of a sweep by Optuna's samplers, from config and earlier trials alone: all processes run the same."""

import hashlib
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torch import nn

from qweft.comparison.checks import check_on_shared
from qweft.comparison.methods import count
from qweft.core.errors import QweftError, require
from qweft.core.text import progress
from qweft.models.quantization import quantized_as
from qweft.sweep.config import Axis, SweepConfig
from qweft.sweep.space import Point, Space, key_of, point_said

STARTUP = 5
"""Number of random trials before tpe starts to learn."""

LEARNED, DRAWS = 20, 200
"""Draws per trial by tpe, and draws per trial in total; the rest are random."""

COUNTED = 20_000
"""Up to this size, a space is searched completely before it counts as exhausted."""


@dataclass(frozen=True)
class Known:
    """An earlier trial."""

    point: Point
    loss: float | None


@dataclass
class Fitting:
    """Counts the parameters of configurations from shapes alone, each configuration once."""

    space: Space
    max_parameters: int | None
    model: nn.Module
    counts: dict[str, int | str] = field(default_factory=dict)

    def parameters(self, point: Point) -> int | str:
        """Return the number of parameters that the point trains, or why it is not trained."""
        adapter = self.space.resolved(point)[0]
        key = key_of(adapter)
        if key not in self.counts:
            try:
                check_on_shared(adapter, quantized_as(self.model))
                found = count(self.model, adapter, self.space.training.learning_rates)
                is_small = self.max_parameters is None or found <= self.max_parameters
                self.counts[key] = found if is_small else f"{found:,} parameters, more than max_parameters"
            except QweftError as error:
                self.counts[key] = str(error)
        return self.counts[key]

    def fits(self, point: Point) -> bool:
        """Whether the point can be trained within the budget."""
        return isinstance(self.parameters(point), int)


def propose(config: SweepConfig, fitting: Fitting, known: Sequence[Known]) -> Point | None:
    """Return the configuration of trial number len(known); `None` if no further point of the space fits."""
    space = fitting.space
    seen = {space.effect_of(each.point) for each in known}
    if config.sampler != "grid":
        for attempt in range(DRAWS):
            learning = config.sampler == "tpe" and attempt < LEARNED
            point = draw(space.axes, config.seed, known, attempt, learning)
            if space.effect_of(point) not in seen and fitting.fits(point):
                return point
        if space.size > COUNTED:
            return None
    return next((each for each in space.grid() if space.effect_of(each) not in seen and fitting.fits(each)), None)


def draw(axes: Mapping[str, Axis], seed: int, known: Sequence[Known], attempt: int, learning: bool) -> Point:
    """Return a point of the space; `learning` from the known trials: running without a loss, pruned if it diverged."""
    optuna = require("optuna", "workbench", "a sweep")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    own_seed = int.from_bytes(hashlib.sha256(f"{seed} {len(known)} {attempt}".encode()).digest()[:4])
    space, states = {name: axis.distribution for name, axis in axes.items()}, optuna.trial.TrialState
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on lists as values, and experimental features
        sampler = optuna.samplers.RandomSampler(seed=own_seed)
        if learning:
            sampler = optuna.samplers.TPESampler(seed=own_seed, n_startup_trials=STARTUP, constant_liar=True)
        study = optuna.create_study(sampler=sampler)
        for each in known if learning else ():
            is_complete = each.loss is not None and math.isfinite(each.loss)
            study.add_trial(
                optuna.trial.create_trial(
                    state=states.RUNNING if each.loss is None else states.COMPLETE if is_complete else states.PRUNED,
                    value=each.loss if is_complete else None,
                    params=each.point,
                    distributions=space,
                )
            )
        drawn = study.ask(space).params
    return {name: axis.rounded(drawn[name]) for name, axis in axes.items()}


@progress("looking for what fits")
def check_something_fits(config: SweepConfig, fitting: Fitting) -> None:
    """Check that the space has a configuration within the budget."""
    if propose(config, fitting, []) is None:
        some = draw(fitting.space.axes, config.seed, [], 0, learning=False)
        most = fitting.max_parameters
        limit = "" if most is None else f" within max_parameters {most:,}"
        raise QweftError(
            f"no configuration of the space can be trained{limit}; {point_said(some)}: {fitting.parameters(some)}"
        )
