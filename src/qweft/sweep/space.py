"""The space of a sweep: its axes, its points, and their checks."""

import itertools
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from qweft.comparison.checks import check_on_shared, check_places_of
from qweft.core.errors import QweftError
from qweft.core.schema import check_values
from qweft.evaluation.checks import check_evaluation
from qweft.method.checks import closest
from qweft.method.effective import effective
from qweft.method.presets import stated
from qweft.method.specification import check_names
from qweft.sweep.config import Axis, SweepConfig
from qweft.training.checks import check_training
from qweft.training.config import TrainingConfig
from qweft.training.distributed import check_launch

Point = dict[str, Any]
"""A value for each axis, by its name: {"adapter.r": 4, "training.learning_rate": 0.003}."""

TRAINING = (
    "learning_rate", "epochs", "warmup_ratio", "weight_decay", "max_gradient_norm", "max_steps", "batch_size",
    "gradient_accumulation", "packing",
)  # fmt: skip
"""Fields of the training section that may vary."""


@dataclass(frozen=True)
class Space:
    """What varies and what is fixed."""

    axes: dict[str, Axis]  # by the name of the field, as in a configuration file: adapter.r
    adapter: dict[str, Any]
    training: TrainingConfig

    @property
    def size(self) -> float:
        """Number of points; infinity if a range has no steps."""
        choices = [axis.choices for axis in self.axes.values()]
        return math.prod(math.inf if each is None else len(each) for each in choices)

    def grid(self) -> Iterator[Point]:
        """Yield all points in order, the last axis varying fastest. Every axis must have choices."""
        for combination in itertools.product(*(axis.choices or () for axis in self.axes.values())):
            yield dict(zip(self.axes, combination, strict=True))

    def resolved(self, point: Point) -> tuple[dict[str, Any], TrainingConfig]:
        """Return the adapter's specification, with the fields of its preset, and the training of a point."""
        own: dict[str, dict[str, Any]] = {"adapter": {}, "training": {}}
        for name, value in point.items():
            section, _, key = name.partition(".")
            own[section][key] = value
        return stated({**self.adapter, **own["adapter"]}), replace(self.training, **own["training"])

    def effect_of(self, point: Point) -> str:
        """Return what decides a point's training as text. It leaves out what its adapter does not read."""
        adapter, _ = self.resolved(point)
        of_training = {name: value for name, value in point.items() if name.startswith("training.")}
        return key_of((effective(adapter), of_training))


def key_of(value: Any) -> str:
    """Return a point or a specification as text; equal ones give equal text."""
    return json.dumps(value, sort_keys=True, default=str)


def said(value: Any) -> str:
    """Return a value as text for a sentence or a table."""
    if isinstance(value, list):
        return " ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)[:200]


def point_said(point: Point) -> str:
    """Return a point as text: adapter.r 4, training.learning_rate 0.003."""
    return ", ".join(f"{name} {said(value)}" for name, value in point.items())


def axis_said(axis: Axis) -> str:
    """Return an axis as text."""
    if axis.values is not None:
        return ", ".join(map(said, axis.values))
    how = ", logarithmic" if axis.log else f", in steps of {axis.step:g}" if axis.step else ""
    return f"{axis.low:g} to {axis.high:g}{how}"


def check_start(config: SweepConfig, needs_weights: bool = False) -> None:
    """Check everything that can be checked before the model and the data are loaded."""
    check_launch()
    check_sweep(config)
    check_names({**config.space.adapter, **config.adapter})
    check_on_shared(config.adapter, config.model.quantization)
    check_places_of(config, needs_weights)


def check_sweep(config: SweepConfig) -> None:
    """Check the sections, the numbers and the space."""
    check_training(config.training)
    check_evaluation(replace(config.evaluation, split="validation"), config.data)
    check_values(config, "")
    for name, axis in space_of(config).axes.items():
        if config.sampler == "grid" and axis.choices is None:
            raise QweftError(
                f"space.{name} is a range without steps, of which there is no grid; give it values or a step"
            )


def space_of(config: SweepConfig) -> Space:
    """Return the space of a sweep, each axis checked."""
    sections = {"adapter": config.space.adapter, "training": config.space.training}
    axes = {f"{section}.{key}": axis for section, given in sections.items() for key, axis in given.items()}
    if not axes:
        raise QweftError(
            "space: nothing varies; name fields under adapter or training, as adapter: {r: {values: [2, 4]}}"
        )
    for name, axis in axes.items():
        if {axis.low is not None, axis.high is not None} != {axis.values is None}:
            raise QweftError(
                f"space.{name}: give either {{values: [...]}}, or {{low: ..., high: ...}} with log: true or a step"
            )
        try:
            _ = axis.distribution
        except ValueError as error:
            raise QweftError(f"space.{name}: {error}") from error
    for key, axis in config.space.training.items():
        _check_training(config.training, key, axis)
    return Space(axes, config.adapter, config.training)


def _check_training(training: TrainingConfig, key: str, axis: Axis) -> None:
    """Check a field of the training section that varies, and its values or the ends of its range."""
    if key not in TRAINING:
        raise QweftError(
            f"space.training.{key}: that does not vary in a sweep{closest(key, TRAINING)}; what may: "
            f"{', '.join(TRAINING)}"
        )
    values: list[Any] = axis.choices or [axis.low, axis.high]
    for value in values:
        try:
            check_training(replace(training, **{key: value}))
        except QweftError as error:
            raise QweftError(f"space.training.{key}: {error}") from error
