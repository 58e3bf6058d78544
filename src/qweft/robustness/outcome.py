"""What came out of measuring an adapter's circuits on a device."""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from qweft.evaluation.loss import HeldOutLoss, RowScore, loss_of, ratio
from qweft.robustness.sample import Sample


@dataclass(frozen=True)
class Judged:
    """A model on the rows and prompts of a sample.

    Args:
        scores: Of each row.
        answers: Generated, one for each prompt.
    """

    scores: tuple[RowScore, ...]
    answers: tuple[str, ...]

    @property
    def loss(self) -> HeldOutLoss:
        """Over all rows."""
        return loss_of(self.scores)


@dataclass(frozen=True)
class Setting:
    """One way of measuring.

    Args:
        shots: Measurements of each circuit; none for exact probabilities.
        noise_scale: Factor of the noise model's probabilities.
    """

    shots: int | None
    noise_scale: float


@dataclass(frozen=True)
class Point:
    """The adapter at one setting, beside itself computed exactly on the same rows and prompts.

    Args:
        setting: The setting.
        loss: Held-out loss in nats a token.
        loss_error: Its standard error over rows; none with one row.
        row_totals: The sum of -log p over the targets of each row, in nats.
        rise: Loss less the exact one.
        rise_error: Its standard error over rows, paired; none with one row.
        agreement: Share of targets whose most probable token is the one it is when computed exactly, of those that a
            measured token predicts; none where there is no such target.
        agreement_error: Its standard error over rows.
        answers: Generated.
        same_answers: How many of them are what they are when computed exactly.
        circuits: Circuits that were asked for, mitigation's among them; equal ones of one call once.
        sent: How many of them had no result yet, and were run.
        seconds: Wall-clock.
    """

    setting: Setting
    loss: float
    loss_error: float | None
    row_totals: tuple[float, ...]
    rise: float
    rise_error: float | None
    agreement: float | None
    agreement_error: float | None
    answers: tuple[str, ...]
    same_answers: int
    circuits: int
    sent: int
    seconds: float


@dataclass(frozen=True)
class Effort:
    """What measuring took: as in `Point`."""

    circuits: int
    sent: int
    seconds: float


def point(
    setting: Setting, measured: Judged, exact: Judged, is_measured: Sequence[Sequence[bool]], effort: Effort
) -> Point:
    """The adapter as measured, held against the same computed exactly.

    Args:
        setting: The setting.
        measured: The adapter with its circuits measured.
        exact: The same computed exactly.
        is_measured: For each target of each row whether a measured token predicts it.
        effort: What it took.
    """
    loss = measured.loss
    pairs = list(zip(measured.scores, exact.scores, strict=True))
    rise, rise_error = ratio([(mine.total - theirs.total, theirs.targets) for mine, theirs in pairs])
    agreement, agreement_error = _agreement(pairs, is_measured)
    same = sum(a == b for a, b in zip(measured.answers, exact.answers, strict=True))
    return Point(
        setting, loss.loss, loss.standard_error, tuple(score.total for score in measured.scores), rise, rise_error,
        agreement, agreement_error, measured.answers, same, effort.circuits, effort.sent, effort.seconds,
    )  # fmt: skip


def _agreement(
    pairs: Sequence[tuple[RowScore, RowScore]], is_measured: Sequence[Sequence[bool]]
) -> tuple[float | None, float | None]:
    same = [
        [a == b for a, b, counts in zip(mine.predicted, theirs.predicted, of_row, strict=True) if counts]
        for (mine, theirs), of_row in zip(pairs, is_measured, strict=True)
    ]
    return ratio([(sum(row), len(row)) for row in same]) if any(same) else (None, None)


@dataclass(frozen=True)
class Computed:
    """What the measured adapter is held against, on the same rows.

    Args:
        base: The base model's loss.
        exact: The adapter's, its circuits computed exactly.
        base_totals, exact_totals: Both by row: the sum of -log p over its targets, in nats.
        targets: Targets of each row.
        answers: Generated with the circuits computed exactly.
    """

    base: float
    exact: float
    base_totals: tuple[float, ...]
    exact_totals: tuple[float, ...]
    targets: tuple[int, ...]
    answers: tuple[str, ...]

    @classmethod
    def of(cls, base: Judged, exact: Judged) -> "Computed":
        """From what the two scored."""
        base_totals, exact_totals = (tuple(score.total for score in each.scores) for each in (base, exact))
        targets = tuple(score.targets for score in exact.scores)
        return cls(base.loss.loss, exact.loss.loss, base_totals, exact_totals, targets, exact.answers)


@dataclass(frozen=True)
class Robustness:
    """A trained adapter on a device.

    Args:
        adapter: Its folder.
        data: The data's source and the split.
        device: The device's name.
        identity: All that its results depend on, at strength 1 of its noise.
        has_noise: Whether there is a noise model, whose strength means something.
        mitigation: In words: what was done about errors; empty for nothing.
        measures: In words: what of the rows is measured, in which layers.
        sample: Which rows and tokens.
        layers: Layers with a circuit that is measured.
        computed: The base model and the adapter computed exactly.
        prompts: What was to be answered.
        points: At each setting, as far as they are there.
        planned: How many settings there are to be.
        config: How it was to be measured.
        environment: Command, versions, machine, type of the numbers.
    """

    adapter: str
    data: str
    device: str
    identity: str
    has_noise: bool
    mitigation: str
    measures: str
    sample: Sample
    layers: tuple[str, ...]
    computed: Computed
    prompts: tuple[str, ...]
    points: tuple[Point, ...]
    planned: int
    config: dict[str, Any]
    environment: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Everything, as JSON can hold it."""
        return asdict(self) | {"sample": self.sample.to_json()}

    @property
    def is_diluted(self) -> bool:
        """Whether the loss says little: tokens were drawn, and most of what it depends on was computed exactly."""
        return self.sample.kind == "drawn"

    @property
    def gain(self) -> float:
        """By how much the adapter, computed exactly, lowers the base model's loss."""
        return self.computed.base - self.computed.exact

    @property
    def scales(self) -> tuple[float, ...]:
        """The strengths of noise, ascending."""
        return tuple(sorted({point.setting.noise_scale for point in self.points}))

    def at(self, scale: float) -> tuple[Point, ...]:
        """The points of one strength of noise by shots; exact probabilities come last."""
        found = [point for point in self.points if point.setting.noise_scale == scale]
        return tuple(sorted(found, key=lambda point: point.setting.shots or math.inf))


def enough_shots(points: Sequence[Point], holds: Callable[[Point], bool]) -> Point | None:
    """The point of least shots from which on something holds, up to exact probabilities where there are such.

    Args:
        points: Of one strength of noise, by shots; exact probabilities, where they are among them, come last.
        holds: From a point to true or false.

    Returns:
        None where it never does.
    """
    found = None
    for each in reversed(points):
        if not holds(each):
            break
        found = each
    return found if found is None or found.setting.shots is not None else None
