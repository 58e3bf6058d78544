"""What came out of measuring an adapter's circuits on a device."""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from qweft.evaluation.loss import HeldOutLoss, RowScore, loss_of, ratio


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
        rise: Loss less the exact one.
        rise_error: Its standard error over rows, paired.
        agreement: Share of targets whose most probable token is the one it is when computed exactly.
        agreement_error: Its standard error over rows.
        answers: Generated.
        same_answers: How many of them are what they are when computed exactly.
        circuits: Circuits that were measured, mitigation's among them; equal ones once.
        seconds: Wall-clock.
    """

    setting: Setting
    loss: float
    loss_error: float | None
    rise: float
    rise_error: float | None
    agreement: float
    agreement_error: float | None
    answers: tuple[str, ...]
    same_answers: int
    circuits: int
    seconds: float


def point(setting: Setting, measured: Judged, exact: Judged, circuits: int, seconds: float) -> Point:
    """The adapter as measured, held against the same computed exactly."""
    loss = measured.loss
    pairs = list(zip(measured.scores, exact.scores, strict=True))
    rise, rise_error = ratio([(mine.total - theirs.total, theirs.targets) for mine, theirs in pairs])
    agreement, agreement_error = ratio(
        [
            (sum(a == b for a, b in zip(mine.predicted, theirs.predicted, strict=True)), theirs.targets)
            for mine, theirs in pairs
        ]
    )
    same = sum(a == b for a, b in zip(measured.answers, exact.answers, strict=True))
    return Point(
        setting, loss.loss, loss.standard_error, rise, rise_error, agreement, agreement_error, measured.answers, same,
        circuits, seconds,
    )  # fmt: skip


@dataclass(frozen=True)
class Robustness:
    """A trained adapter on a device.

    Args:
        adapter: Its folder.
        data: The data's source and the split.
        device: The device's name.
        identity: All that its results depend on, at strength 1 of its noise.
        measures: In words: what of the rows is measured, in which layers.
        layers: Layers with a circuit that is measured.
        base: The base model's loss on the same rows.
        exact: The adapter's, computed exactly.
        prompts: What was to be answered.
        exact_answers: ... as computed exactly.
        points: At each setting.
        environment: Command, versions, machine.
    """

    adapter: str
    data: str
    device: str
    identity: str
    measures: str
    layers: tuple[str, ...]
    base: float
    exact: float
    prompts: tuple[str, ...]
    exact_answers: tuple[str, ...]
    points: tuple[Point, ...]
    environment: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Everything, as JSON can hold it."""
        return asdict(self)

    @property
    def has_noise(self) -> bool:
        """Whether the strength of noise means anything here."""
        return self.device not in ("exact", "shots")

    @property
    def scales(self) -> tuple[float, ...]:
        """The strengths of noise, ascending."""
        return tuple(sorted({point.setting.noise_scale for point in self.points}))

    def at(self, scale: float) -> tuple[Point, ...]:
        """The points of one strength of noise by shots; exact probabilities come last."""
        found = [point for point in self.points if point.setting.noise_scale == scale]
        return tuple(sorted(found, key=lambda point: point.setting.shots or math.inf))


def enough_shots(points: Sequence[Point], holds: Callable[[Point], bool]) -> int | None:
    """The least shots from which on something holds at every larger number that was tried; none where it never does.

    Args:
        points: Of one strength of noise, by shots.
        holds: From a point to true or false.
    """
    found = None
    for each in reversed([point for point in points if point.setting.shots is not None]):
        if not holds(each):
            break
        found = each.setting.shots
    return found
