"""Results of an adapter whose circuits are measured on a device: one point a setting, beside exact computation."""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text

from qweft.environment import share_said
from qweft.evaluation.noise.grid import Setting
from qweft.evaluation.noise.sample import Sample
from qweft.evaluation.row_scores import CLEAR, RowScore, loss_of, ratio
from qweft.text import many

AGREEING = 0.99
"""Share of equal next tokens from which on so many shots are called enough."""


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

    @property
    def rise_text(self) -> str:
        """The rise of the loss with its standard error."""
        return f"{self.rise:+z.4f}" + ("" if self.rise_error is None else f" ± {self.rise_error:.4f}")

    def cells(self) -> tuple[str, ...]:
        """Return the point's row of the table."""
        return (
            f"x {self.setting.noise_scale:g}",
            "all" if self.setting.shots is None else f"{self.setting.shots:,}",
            f"{self.loss:.4f}",
            self.rise_text,
            "-" if self.agreement is None else f"{100 * self.agreement:.1f}%",
            f"{self.same_answers} of {len(self.answers)}" if self.answers else "-",
            f"{self.circuits:,}",
            f"{self.sent:,}",
        )


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

    def table(self) -> list[tuple[str, ...]]:
        """Return the rows of the table as text, head first; without a noise model the noise column is left out."""
        rows = [
            ("noise", "shots", "loss", "above exact", "same next token", "same answers", "circuits", "run"),
            ("", "computed", f"{self.computed.exact:.4f}", "", "", "", "0", "0"),
            *(each.cells() for scale in self.scales for each in self.at(scale)),
            ("", "base model", f"{self.computed.base:.4f}", f"{self.gain[0]:+.4f}", "", "", "0", "0"),
        ]
        return rows if self.has_noise else [row[1:] for row in rows]

    def describe(self) -> Group:
        """Return the table of settings, its legend, and the findings, for the terminal."""
        head, *rows = self.table()
        mitigation = f"; {self.mitigation}" if self.mitigation else ""
        title = f"{self.device} on {self.data}: {self.measures}, model in {self.environment.get('dtype')}{mitigation}"
        drawn = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
        for column in head:
            drawn.add_column(column, justify="right")
        for row in rows:
            drawn.add_row(*row)
        of = " that a measured token predicts" if self.is_diluted else ""
        return Group(drawn, Text(LEGEND.format(of)), Text(""), *map(Text, self.findings()))

    def progress(self) -> str:
        """Return the last result in one line."""
        last = self.points[-1]
        name = "exact probabilities" if last.setting.shots is None else many(last.setting.shots, "shot")
        name = f"noise x {last.setting.noise_scale:g}, {name}" if self.has_noise else name
        return (
            f"{name}: loss {last.loss:.4f}, {many(last.circuits, 'circuit')} ({last.sent:,} run), "
            f"{last.seconds:.0f} s, other programs used {share_said(last.cpu_by_others)} of the CPU"
        )

    def findings(self) -> list[str]:
        """Return sentences on what is left of the adapter's gain, and how many shots are needed."""
        is_whole = len(self.points) == self.planned
        lines = [] if is_whole else [f"{len(self.points)} of {many(self.planned, 'setting')} measured so far."]
        if self.is_diluted:
            return [*lines, DILUTED]
        for scale in self.scales:
            points = self.at(scale)
            where = f"noise x {scale:g}: " if self.has_noise else ""
            lines.append(f"{where}{self._share_left(points[-1])}.")
            if any(point.setting.shots is not None for point in points):
                lines.append(f"{where}{_shots_needed(points)}.")
        return lines

    def _share_left(self, last: Point) -> str:
        """Return a clause on the share of the adapter's gain that is left at a point."""
        shots = "without shot noise" if last.setting.shots is None else f"at {many(last.setting.shots, 'shot')}"
        line = f"{shots} the loss is {last.rise_text} from the exact one"
        gain, error, spread = self.gain[0], self.gain[1] or 0.0, last.rise_error or 0.0
        if gain <= CLEAR * error:
            return f"{line}; the adapter does not clearly lower the base model's loss on these rows"
        of = f"of the {gain:.4f} ± {error:.4f} by which the adapter lowers the base model's loss"
        if last.rise <= spread:
            return f"{line}: no loss {of} is seen on these rows"
        left, spread = 100 * (1 - last.rise / gain), 100 * spread / gain
        return f"{line}: {f'{left:.1f}% ± {spread:.1f}% are left' if left + spread > 0 else 'nothing is left'} {of}"


LEGEND = (
    "loss: nats a target token; ±: one standard error over rows, paired; same next token: share of the targets{} whose "
    "most probable token stays what it is when computed exactly; circuits: asked for, equal ones of one call once; "
    "run: those that had no result yet."
)
DILUTED = (
    "Single tokens were measured and the others computed exactly, so the effect on the loss cannot be told. Allow more "
    "circuits, or name fewer layers."
)


def _shots_needed(points: Sequence[Point]) -> str:
    def shots(holds: Callable[[Point], bool]) -> str:
        enough = enough_shots(points, holds)
        return "at none of these numbers of shots" if enough is None else f"from {enough:,} shots on"

    parts = []
    if any(point.agreement is not None for point in points):
        same = shots(lambda point: (point.agreement or 0.0) >= AGREEING)
        parts.append(f"at least {AGREEING:.0%} of the next tokens stay the same {same}")
    if points[0].answers:
        same = shots(lambda point: point.same_answers == len(point.answers))
        parts.append(f"all answers stay the same {same}")
    return ", ".join(parts) or "no measured token predicts a target"


def enough_shots(points: Sequence[Point], holds: Callable[[Point], bool]) -> int | None:
    """Return the fewest shots from which a condition holds at all further points; `None` if there are none."""
    fewest = None
    for each in reversed(points):
        if not holds(each):
            break
        fewest = each.setting.shots
    return fewest
