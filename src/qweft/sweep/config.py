"""Config dataclasses of `qweft sweep`."""

import warnings
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from annotated_types import Ge

from qweft.core.errors import require
from qweft.core.schema import Count, Rate
from qweft.data.config import DataConfig
from qweft.evaluation.config import EvaluationConfig
from qweft.models.config import ModelConfig
from qweft.training.config import TrainingConfig

DIGITS = 3
"""Significant digits of drawn numbers: few enough to type a result again."""


@dataclass(frozen=True)
class Axis:
    """The values that one field may take: {values: [2, 4, 8]}, or {low: 1e-3, high: 3e-2} with log: true or a step.

    Args:
        values: The values to try.
        low: Lowest number.
        high: Highest number.
        log: Whether draws are uniform in the logarithm.
        step: Step between the numbers that are tried.
    """

    values: list[Any] | None = None
    low: int | float | None = None
    high: int | float | None = None
    log: bool = False
    step: int | float | None = None

    @property
    def distribution(self) -> Any:
        """The axis as Optuna has it; raises `ValueError` for a range that is none."""
        kinds = require("optuna", "workbench", "a sweep").distributions
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on lists as values, and a high that no step meets
            if self.values is not None:
                return kinds.CategoricalDistribution(self.values)
            is_whole = isinstance(self.low, int) and isinstance(self.high, int) and isinstance(self.step, int | None)
            if is_whole:
                return kinds.IntDistribution(self.low, self.high, self.log, self.step or 1)
            return kinds.FloatDistribution(self.low, self.high, self.log, self.step)

    @property
    def choices(self) -> list[Any] | None:
        """All values in order; `None` for a range without steps."""
        if self.values is not None:
            return self.values
        found = self.distribution
        if found.log or not found.step:
            return None
        steps = range(round((found.high - found.low) / found.step) + 1)
        return [self.rounded(found.low + number * found.step) for number in steps]

    def rounded(self, value: Any) -> Any:
        """Return a drawn value, a float with the digits with which it would be typed."""
        if self.values is not None or isinstance(value, int):
            return value
        if self.step:
            return float(f"{value:.12g}")  # 0.1 * 3 is 0.30000000000000004
        found = self.distribution
        return min(max(float(f"{value:.{DIGITS}g}"), found.low), found.high)


@dataclass(frozen=True)
class SpaceConfig:
    """What varies.

    Args:
        adapter: By field of the adapter: r, circuit_layers, width, bond_dimension, core.
        training: By field of the training section: learning_rate, batch_size, max_steps and so on.
    """

    adapter: dict[str, Axis] = field(default_factory=dict)
    training: dict[str, Axis] = field(default_factory=dict)


@dataclass(frozen=True)
class SweepConfig:
    """Many configurations of one adapter on one model and one data set: `qweft sweep`.

    Args:
        model: The base model, the same for all trials.
        data: The text. Trials are evaluated on validation rows, the best one also on test rows.
        training: The training, except for what the space varies.
        evaluation: How trials are evaluated: by the loss on the validation rows alone, without answers, metrics, tasks
            or forgetting.
        adapter: The adapter, except for what the space varies: `preset` or `peft_type` with any fields.
        space: What varies.
        trials: Number of configurations to train in total. A larger number later continues the sweep.
        seconds: No trial starts once the finished trials took this many seconds in total. `None` means no limit.
        max_parameters: Largest number of trained parameters of a configuration. `None` means no limit.
        sampler: `tpe` learns from earlier trials, `random` does not, `grid` takes all combinations in order.
        at_once: Number of trials that may run at once. `tpe` learns only from trials at least this far back, so its
            proposals do not depend on who runs them.
        seed: Seeds the draws. The training has its own seed, training.seed.
        executor: `local` runs on this machine. `ray` runs on the Ray cluster at RAY_ADDRESS; without that variable, on
            a cluster of this machine.
        workers: Processes on this machine, or actors on the cluster. `None` means 1, or on a cluster one per GPU (one
            per machine without GPUs).
        output: Folder of the sweep.
    """

    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    adapter: dict[str, Any] = field(default_factory=lambda: {"preset": "qtha"})
    space: SpaceConfig = field(default_factory=SpaceConfig)
    trials: Count = 20
    seconds: Rate | None = None
    max_parameters: Count | None = None
    sampler: Literal["tpe", "random", "grid"] = "tpe"
    at_once: Count = 4
    seed: Annotated[int, Ge(0)] = 0
    executor: Literal["local", "ray"] = "local"
    workers: Count | None = None
    output: str = "runs/sweep"
