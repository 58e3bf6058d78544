"""The space of a sweep: its axes, its points, and their checks."""

import itertools
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any

from qweft.comparison.checks import check_on_shared, check_places_of
from qweft.errors import QweftError, require
from qweft.evaluation.checks import check_evaluation
from qweft.method.checks import closest
from qweft.method.effective import effective, fields_read
from qweft.method.names import MAY_BE_UNREAD
from qweft.method.presets import stated
from qweft.method.specification import check_names
from qweft.schema import check_values
from qweft.sweep.config import SweepConfig
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
KINDS = ("adapter.preset", "adapter.peft_type", "adapter.compress", "adapter.core", "adapter.expand")
"""Fields that decide which others an adapter reads."""
SHAPE = "give {values: [...]}, or {low: ..., high: ...} with log: true or a step"
DIGITS = 3
"""Significant digits of drawn numbers: few enough to type a result again."""


@dataclass(frozen=True)
class Axis:
    """The values that one field may take."""

    section: str
    key: str
    values: tuple[Any, ...] = ()
    low: float = 0
    high: float = 0
    log: bool = False
    step: float | None = None

    @property
    def name(self) -> str:
        """The name as in a configuration file: adapter.r."""
        return f"{self.section}.{self.key}"

    @property
    def whole(self) -> bool:
        """Whether a range holds only integers."""
        return isinstance(self.low, int) and isinstance(self.high, int) and isinstance(self.step, int | None)

    @property
    def choices(self) -> list[Any] | None:
        """All values in order; `None` for a range without steps."""
        if self.values:
            return list(self.values)
        step = self.step or (1 if self.whole and not self.log else None)
        if step is None:
            return None
        steps = range(math.floor((self.high - self.low) / step + 1e-9) + 1)
        return [self.decoded(self.low + number * step) for number in steps]

    def describe(self) -> str:
        """Return the axis as text."""
        if self.values:
            return ", ".join(said(value) for value in self.values)
        how = ", logarithmic" if self.log else f", in steps of {self.step:g}" if self.step else ""
        return f"{self.low:g} to {self.high:g}{how}"

    def encoded(self, value: Any) -> Any:
        """Return a value in Optuna's form, which has no lists."""
        return value if isinstance(value, str | int | float | bool | None) else json.dumps(value)

    def decoded(self, value: Any) -> Any:
        """Return the value for one in Optuna's form."""
        if self.values:
            return next(each for each in self.values if self.encoded(each) == value)
        if self.whole:
            return value
        if self.step:
            return float(f"{value:.12g}")  # as it would be typed: 0.1 * 3 is 0.30000000000000004
        return min(max(float(f"{value:.{DIGITS}g}"), float(self.low)), float(self.high))


@dataclass(frozen=True)
class Space:
    """What varies and what is fixed."""

    axes: tuple[Axis, ...]
    adapter: dict[str, Any]
    training: TrainingConfig

    @property
    def size(self) -> float:
        """Number of points; infinity if a range has no steps."""
        return math.prod(math.inf if axis.choices is None else len(axis.choices) for axis in self.axes)

    def grid(self) -> Iterator[Point]:
        """Yield all points in order, the last axis varying fastest. Every axis must have choices."""
        for combination in itertools.product(*(axis.choices or () for axis in self.axes)):
            yield dict(zip((axis.name for axis in self.axes), combination, strict=True))

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


def check_start(config: SweepConfig, needs_weights: bool = False) -> None:
    """Check everything that can be checked before the model and the data are loaded."""
    check_launch()
    check_sweep(config)
    check_names({**config.space.adapter, **config.adapter})
    check_on_shared(config.adapter, config.model.quantization)
    if find_spec("optuna") is None:
        require("optuna", "workbench", "a sweep")
    check_places_of(config, needs_weights)


def check_sweep(config: SweepConfig) -> None:
    """Check the sections, the numbers and the space."""
    check_training(config.training)
    check_evaluation(replace(config.evaluation, split="validation"), config.data)
    check_values(config, "")
    axes = space_of(config).axes
    kinds = [axis for axis in axes if axis.name in KINDS]
    for axis in axes:
        if axis.section == "adapter" and axis.key in ("preset", "peft_type") and axis.key not in config.adapter:
            raise QweftError(
                f"space.{axis.name} varies, so adapter must name a {axis.key}, not another kind of adapter"
            )
        if config.sampler == "grid" and axis.choices is None:
            raise QweftError(
                f"space.{axis.name} is a range without steps, of which there is no grid; give it values or a step"
            )
        if axis in kinds and not (axis.values and all(isinstance(value, str) for value in axis.values)):
            raise QweftError(f"space.{axis.name} names kinds, not numbers; give it values, as {{values: [qtha, mpo]}}")
    read: set[str] = set()
    for values in itertools.product(*(axis.values for axis in kinds)):
        read |= fields_read({**config.adapter, **dict(zip((axis.key for axis in kinds), values, strict=True))})
    for axis in axes:
        if axis.section == "adapter" and axis.key not in read and axis.key in MAY_BE_UNREAD:
            raise QweftError(
                f"space.{axis.name}: no adapter of this sweep reads {axis.key}, so trials would be alike; leave it out"
            )


def unread_said(config: SweepConfig) -> str:
    """Return a sentence on settings of the evaluation that a sweep does not read; empty without any."""
    names = [f"evaluation.{name}" for name in ("forgetting", "metrics", "lm_eval") if getattr(config.evaluation, name)]
    return f"a sweep judges by the validation loss alone, without {', '.join(names)}" if names else ""


def space_of(config: SweepConfig) -> Space:
    """Return the space of a sweep, each axis checked."""
    axes = [
        _axis(section, key, given)
        for section in ("adapter", "training")
        for key, given in getattr(config.space, section).items()
    ]
    if not axes:
        raise QweftError(
            "space: nothing varies; name fields under adapter or training, as adapter: {r: {values: [2, 4]}}"
        )
    for axis in axes:
        if axis.section == "training":
            _check_training(config, axis)
    return Space(tuple(axes), config.adapter, config.training)


def _axis(section: str, key: str, given: Any) -> Axis:
    name = f"space.{section}.{key}"
    if not isinstance(given, Mapping) or not given:
        raise QweftError(f"{name} is {said(given)}; {SHAPE}")
    known = ("values", "low", "high", "log", "step")
    if wrong := next((field for field in given if field not in known), None):
        raise QweftError(f"{name} has no key {wrong!r}{closest(str(wrong), known)}; {SHAPE}")
    if "values" in given:
        values = given["values"]
        if len(given) > 1 or not isinstance(values, list) or not values:
            raise QweftError(f"{name}.values must be a list of at least one value, and stand alone, got {said(given)}")
        if len({key_of(value) for value in values}) < len(values):
            raise QweftError(f"{name}.values has a value twice: {said(values)}; leave one out")
        return Axis(section, key, tuple(values))
    low: Any = given.get("low")
    high: Any = given.get("high")
    log, step = given.get("log", False), given.get("step")
    is_range = _is_number(low) and _is_number(high) and low < high and isinstance(log, bool)
    if not is_range or (log and (low <= 0 or step)) or (step and not (_is_number(step) and 0 < step <= high - low)):
        raise QweftError(
            f"{name} is {said(given)}; a range is {{low: 1, high: 9}}, with a step of at most high - low, or with "
            "log: true and a low above 0"
        )
    return Axis(section, key, (), low, high, log, step)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300


def _check_training(config: SweepConfig, axis: Axis) -> None:
    """Check a field of the training section that varies, and each of its values."""
    if axis.key not in TRAINING:
        raise QweftError(
            f"space.{axis.name}: that does not vary in a sweep{closest(axis.key, TRAINING)}; what may: "
            f"{', '.join(TRAINING)}"
        )
    if axis.key == "epochs" and (config.training.max_steps is not None or "max_steps" in config.space.training):
        raise QweftError("space.training.epochs does nothing beside training.max_steps; leave one of them out")
    for value in axis.values or (axis.low, axis.high, axis.low + (axis.step or 0)):
        try:
            check_training(replace(config.training, **{axis.key: value}))
        except QweftError as error:
            raise QweftError(f"space.{axis.name}: {error}") from error
