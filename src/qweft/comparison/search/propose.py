"""Proposals of a search over sizes, by Optuna's samplers.

A proposal follows from the space and the earlier trials alone. So all processes that share a search propose the same,
and nothing but the trials themselves has to be stored.
"""

import hashlib
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from qweft.comparison.checks import check_on_shared
from qweft.comparison.methods import count
from qweft.comparison.search.configurations import AdapterSpace, Configuration, as_key, format_configuration
from qweft.core.errors import QweftError, require
from qweft.core.progress import progress
from qweft.models.quantization import quantized_as

STARTUP_TRIALS = 5
"""Random trials before the sampler starts to learn."""
LEARNED_DRAWS = 20
RANDOM_DRAWS = 180
"""Draws for one trial until one is new and fits: first those that learn, then random ones."""
LARGEST_LISTED = 20_000
"""Up to this size, a space is searched completely before it counts as exhausted."""


@dataclass(frozen=True)
class EarlierTrial:
    """A trial before the one that is proposed."""

    configuration: Configuration
    loss: float | None  # `None` while it runs or may run; infinity if it diverged


@dataclass(frozen=True)
class Size:
    """The trained parameters of a configuration, or what forbids to train it."""

    parameters: int = 0
    obstacle: str = ""


@dataclass
class SizeCounter:
    """Counts the parameters of configurations from shapes alone, each adapter once."""

    space: AdapterSpace
    model: nn.Module
    most_parameters: int | None = None
    learning_rates: Mapping[str, float] = field(default_factory=dict)
    sizes: dict[str, Size] = field(default_factory=dict)

    def size_of(self, configuration: Configuration) -> Size:
        """Return the size of the adapter at a configuration."""
        adapter = self.space.adapter_at(configuration)
        key = as_key(adapter)
        if key not in self.sizes:
            self.sizes[key] = self._count(adapter)
        return self.sizes[key]

    def _count(self, adapter: Mapping[str, Any]) -> Size:
        try:
            check_on_shared(adapter, quantized_as(self.model))
            parameters = count(self.model, adapter, self.learning_rates)
        except QweftError as error:
            return Size(obstacle=str(error))
        if self.most_parameters is not None and parameters > self.most_parameters:
            return Size(obstacle=f"{parameters:,} parameters, more than the budget")
        return Size(parameters)


def propose(
    space: AdapterSpace, counter: SizeCounter, earlier: Sequence[EarlierTrial], seed: int
) -> Configuration | None:
    """Return the configuration of trial number len(earlier); `None` if no further configuration of the space fits."""
    effects = {space.effect_of(trial.configuration) for trial in earlier}
    for configuration in _candidates(space, earlier, seed):
        if space.effect_of(configuration) not in effects and not counter.size_of(configuration).obstacle:
            return configuration
    return None


def _candidates(space: AdapterSpace, earlier: Sequence[EarlierTrial], seed: int) -> Iterator[Configuration]:
    """Yield what to try: draws that learn, random draws, and at last all of a space that is not too large."""
    for attempt in range(LEARNED_DRAWS):
        yield draw(space, earlier, _seed_of(seed, len(earlier), attempt), learning=True)
    for attempt in range(LEARNED_DRAWS, LEARNED_DRAWS + RANDOM_DRAWS):
        yield draw(space, earlier, _seed_of(seed, len(earlier), attempt), learning=False)
    if space.size <= LARGEST_LISTED:
        yield from space.all_configurations()


def _seed_of(seed: int, trial: int, attempt: int) -> int:
    """Return a seed for one draw, which another trial or attempt does not share."""
    digest = hashlib.sha256(f"{seed} {trial} {attempt}".encode()).digest()
    return int.from_bytes(digest[:4])


def draw(space: AdapterSpace, earlier: Sequence[EarlierTrial], seed: int, learning: bool) -> Configuration:
    """Return a configuration of the space, random or by what TPE learns from the earlier trials."""
    optuna = require("optuna", "workbench", "a search over sizes")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    distributions = {name: axis.distribution for name, axis in space.axes.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Optuna warns of lists as values, and of experimental features
        if learning:
            # constant_liar: a trial that still runs counts as a bad one, so that its surroundings are not drawn again
            sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=STARTUP_TRIALS, constant_liar=True)
        else:
            sampler = optuna.samplers.RandomSampler(seed=seed)
        study = optuna.create_study(sampler=sampler)
        if learning:
            for trial in earlier:
                study.add_trial(_as_optuna_trial(optuna, trial, distributions))
        drawn = study.ask(distributions).params
    return {name: axis.rounded(drawn[name]) for name, axis in space.axes.items()}


def _as_optuna_trial(optuna: Any, trial: EarlierTrial, distributions: Mapping[str, Any]) -> Any:
    """Return a trial as Optuna has it: running without a loss, pruned if it diverged."""
    states = optuna.trial.TrialState
    if trial.loss is None:
        state = states.RUNNING
    elif math.isfinite(trial.loss):
        state = states.COMPLETE
    else:
        state = states.PRUNED
    loss = trial.loss if state == states.COMPLETE else None
    return optuna.trial.create_trial(state=state, value=loss, params=trial.configuration, distributions=distributions)


@progress("looking for what fits")
def check_something_fits(space: AdapterSpace, counter: SizeCounter, seed: int) -> None:
    """Check that the space has a configuration within the budget."""
    if propose(space, counter, [], seed) is not None:
        return
    configuration = draw(space, [], _seed_of(seed, 0, 0), learning=False)
    limit = ""
    if counter.most_parameters is not None:
        limit = f" within the budget of {counter.most_parameters:,} parameters"
    obstacle = counter.size_of(configuration).obstacle
    raise QweftError(
        f"no configuration of the space can be trained{limit}; {format_configuration(configuration)}: {obstacle}"
    )
