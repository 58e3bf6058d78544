"""Results of an adapter whose circuits are measured on a device: one point a setting, beside exact computation."""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from qweft.evaluation.noise.grid import Setting
from qweft.evaluation.noise.sample import Sample
from qweft.evaluation.row_scores import RowScore, loss_of, ratio


@dataclass(frozen=True)
class Scored:
    """Score of each row of a sample, and the generated answer to each prompt."""

    scores: tuple[RowScore, ...]
    answers: tuple[str, ...]

    @property
    def totals(self) -> tuple[float, ...]:
        """Sum of -log p over the targets of each row, in nats."""
        return tuple(score.total for score in self.scores)


@dataclass(frozen=True)
class Point:
    """The adapter measured at one setting, compared with exact computation on the same rows and prompts.

    Losses are in nats per target token, `row_totals` are sums over the targets of each row. Errors are standard errors
    over rows, `None` with fewer than two that count. `agreement` is the share of targets with the same most probable
    token, among those that a measured token predicts. `circuits` counts equal ones of a call once, and those of
    mitigation; `sent` are those without an earlier result.
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
    circuits: int = 0
    sent: int = 0
    seconds: float = 0.0
    cpu_by_others: float | None = None


def point(setting: Setting, measured: Scored, exact: Scored, is_measured: Sequence[Sequence[bool]]) -> Point:
    """Compare the measured adapter with exact computation; `is_measured` tells of each target's predicting token."""
    pairs = list(zip(measured.scores, exact.scores, strict=True))
    rise, rise_error = ratio([(mine.total - theirs.total, theirs.targets) for mine, theirs in pairs])
    same = [
        [a == b for a, b, counts in zip(mine.predicted, theirs.predicted, of_row, strict=True) if counts]
        for (mine, theirs), of_row in zip(pairs, is_measured, strict=True)
    ]
    agreement, agreement_error = ratio([(sum(row), len(row)) for row in same]) if any(same) else (None, None)
    loss = loss_of(measured.scores)
    return Point(
        setting=setting,
        loss=loss.loss,
        loss_error=loss.standard_error,
        row_totals=measured.totals,
        rise=rise,
        rise_error=rise_error,
        agreement=agreement,
        agreement_error=agreement_error,
        answers=measured.answers,
        same_answers=sum(a == b for a, b in zip(measured.answers, exact.answers, strict=True)),
    )


@dataclass(frozen=True)
class Computed:
    """Baselines of the measured adapter on the same rows: the base model, and the adapter computed exactly."""

    base: float
    exact: float
    base_totals: tuple[float, ...]
    exact_totals: tuple[float, ...]
    targets: tuple[int, ...]
    answers: tuple[str, ...]

    @classmethod
    def of(cls, base: Scored, exact: Scored) -> "Computed":
        """Return the baselines from the scores of the base model and of the adapter computed exactly."""
        targets = tuple(score.targets for score in exact.scores)
        base_loss, exact_loss = loss_of(base.scores).loss, loss_of(exact.scores).loss
        return cls(base_loss, exact_loss, base.totals, exact.totals, targets, exact.answers)


@dataclass(frozen=True)
class NoiseResults:
    """Results of a trained adapter on a device.

    `identity` names all that the device's results depend on at noise scale 1, `planned` is the number of settings of
    the complete run, and `points` are those measured so far.
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
    planned: int
    config: dict[str, Any]
    environment: dict[str, Any]
    points: tuple[Point, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return all fields as JSON can hold them."""
        return asdict(self) | {"sample": self.sample.to_json()}

    @property
    def is_diluted(self) -> bool:
        """Whether single tokens were drawn, so that the loss depends mostly on exactly computed tokens."""
        return self.sample.kind == "drawn"

    @property
    def gain(self) -> tuple[float, float | None]:
        """Loss of the base model minus loss of the adapter computed exactly, and its standard error over rows."""
        computed = self.computed
        gains = (base - exact for base, exact in zip(computed.base_totals, computed.exact_totals, strict=True))
        return computed.base - computed.exact, ratio(list(zip(gains, computed.targets, strict=True)))[1]

    @property
    def scales(self) -> tuple[float, ...]:
        """Noise scales in ascending order."""
        return tuple(sorted({point.setting.noise_scale for point in self.points}))

    def at(self, scale: float) -> tuple[Point, ...]:
        """Return the points of one noise scale by ascending shots, with exact probabilities last."""
        points = [point for point in self.points if point.setting.noise_scale == scale]
        return tuple(sorted(points, key=lambda point: point.setting.shots or math.inf))


def enough_shots(points: Sequence[Point], holds: Callable[[Point], bool]) -> int | None:
    """Return the fewest shots from which a condition holds at all further points; `None` if there are none."""
    fewest = None
    for each in reversed(points):
        if not holds(each):
            break
        fewest = each.setting.shots
    return fewest
