"""Results of an adapter whose circuits are measured on a device: one point a setting, beside exact computation."""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from operator import eq
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text

from qweft.evaluation.noise.plan import Setting
from qweft.evaluation.scores import CLEAR, HeldOutLoss, RowScore, Score, compare_losses, loss_of, ratio
from qweft.text import many

AGREEING = 0.99
"""Share of equal next tokens from which on so many shots are called enough."""
HEADS = ("noise", "shots", "loss", "above exact", "same next token", "same answers", "circuits")
LEGEND = (
    "loss: nats a target token; ±: one standard error over rows, paired; same next token: share of the targets whose "
    "most probable token stays what it is when computed exactly; circuits: those that had no result yet."
)


@dataclass(frozen=True)
class Scored:
    """Score of each row of a sample, and the generated answer to each prompt."""

    scores: tuple[RowScore, ...]
    answers: tuple[str, ...]

    @property
    def loss(self) -> HeldOutLoss:
        """The loss over the rows."""
        return loss_of(self.scores)


@dataclass(frozen=True)
class Point:
    """The adapter measured at one setting, beside exact computation on the same rows and prompts.

    `rise` is that of the loss in nats a target token, `agreement` the share of targets with the same most probable
    token. Errors are standard errors over rows. `circuits` are those without an earlier result.
    """

    setting: Setting
    loss: HeldOutLoss
    rise: float
    rise_error: float | None
    agreement: float
    agreement_error: float | None
    answers: tuple[str, ...]
    same_answers: int
    circuits: int = 0
    seconds: float = 0.0

    @classmethod
    def of(cls, setting: Setting, measured: Scored, exact: Scored, circuits: int = 0, seconds: float = 0.0) -> "Point":
        """Compare the measured adapter with exact computation."""
        rise = compare_losses(exact.loss, measured.loss).difference
        pairs = [(a.predicted, b.predicted) for a, b in zip(measured.scores, exact.scores, strict=True)]
        agreement, error = ratio([(sum(map(eq, *pair)), len(pair[0])) for pair in pairs])
        return cls(
            setting=setting,
            loss=measured.loss,
            rise=rise.value,
            rise_error=rise.standard_error,
            agreement=agreement,
            agreement_error=error,
            answers=measured.answers,
            same_answers=sum(map(eq, measured.answers, exact.answers)),
            circuits=circuits,
            seconds=seconds,
        )

    @property
    def rise_text(self) -> str:
        """The rise of the loss with its standard error."""
        return f"{self.rise:+z.4f}" + ("" if self.rise_error is None else f" ± {self.rise_error:.4f}")

    def cells(self) -> tuple[str, ...]:
        """Return the row of the point below `HEADS`."""
        return (
            f"x {self.setting.noise_scale:g}",
            "all" if self.setting.shots is None else f"{self.setting.shots:,}",
            f"{self.loss.loss:.4f}",
            self.rise_text,
            f"{100 * self.agreement:.1f}%",
            f"{self.same_answers} of {len(self.answers)}" if self.answers else "-",
            f"{self.circuits:,}",
        )


@dataclass(frozen=True)
class NoiseResults:
    """Results of a trained adapter on a device.

    `base` is the base model's loss, `adapted` that of the adapter computed exactly, on the same rows. `identity` names
    all that the device's results depend on at noise scale 1. `planned` is the number of settings of the complete run.
    """

    adapter: str
    data: str
    device: str
    identity: str
    has_noise: bool
    mitigation: str
    measures: str
    rows: tuple[int, ...]
    layers: tuple[str, ...]
    base: HeldOutLoss
    adapted: HeldOutLoss
    prompts: tuple[str, ...]
    answers: tuple[str, ...]
    planned: int
    config: dict[str, Any]
    environment: dict[str, Any]
    points: tuple[Point, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return all fields as JSON can hold them."""
        return asdict(self)

    @property
    def gain(self) -> Score:
        """Loss of the base model minus loss of the adapter computed exactly."""
        return compare_losses(self.adapted, self.base).difference

    def describe(self) -> Group:
        """Return the table of settings, its legend, and the findings, for the terminal."""
        mitigation = f"; {self.mitigation}" if self.mitigation else ""
        title = f"{self.device} on {self.data}: {self.measures}, model in {self.environment.get('dtype')}{mitigation}"
        table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
        first = slice(0 if self.has_noise else 1, None)  # without a noise model the column of noise is left out
        for head in HEADS[first]:
            table.add_column(head, justify="right")
        table.add_row(*("", "computed", f"{self.adapted.loss:.4f}", "", "", "", "0")[first])
        for point in _in_order(self.points):
            table.add_row(*point.cells()[first])
        table.add_row(*("", "base model", f"{self.base.loss:.4f}", f"{self.gain.value:+.4f}", "", "", "0")[first])
        return Group(table, Text(LEGEND), Text(""), *map(Text, self.findings()))

    def findings(self) -> list[str]:
        """Return sentences on what is left of the adapter's gain, and how many shots are needed."""
        is_whole = len(self.points) == self.planned
        lines = [] if is_whole else [f"{len(self.points)} of {many(self.planned, 'setting')} measured so far."]
        for scale in sorted({point.setting.noise_scale for point in self.points}):
            points = [point for point in _in_order(self.points) if point.setting.noise_scale == scale]
            where = f"noise x {scale:g}: " if self.has_noise else ""
            lines.append(f"{where}{self._share_left(points[-1])}.")
            if any(point.setting.shots is not None for point in points):
                enough = enough_shots(points, lambda point: point.agreement >= AGREEING)
                shots = "at none of these numbers of shots" if enough is None else f"from {enough:,} shots on"
                lines.append(f"{where}at least {AGREEING:.0%} of the next tokens stay the same {shots}.")
        return lines

    def _share_left(self, last: Point) -> str:
        """Return a clause on the share of the adapter's gain that is left at a point."""
        shots = "without shot noise" if last.setting.shots is None else f"at {many(last.setting.shots, 'shot')}"
        line = f"{shots} the loss is {last.rise_text} from the exact one"
        gain, error, spread = self.gain.value, self.gain.standard_error or 0.0, last.rise_error or 0.0
        if gain <= CLEAR * error:
            return f"{line}; the adapter does not clearly lower the base model's loss on these rows"
        left, spread = 100 * max(0.0, 1 - last.rise / gain), 100 * spread / gain
        return f"{line}: {left:.1f}% ± {spread:.1f}% of the adapter's gain of {gain:.4f} ± {error:.4f} are left"


def _in_order(points: Sequence[Point]) -> list[Point]:
    """Return the points by noise scale and ascending shots, exact probabilities last."""
    return sorted(points, key=lambda each: (each.setting.noise_scale, each.setting.shots or math.inf))


def enough_shots(points: Sequence[Point], holds: Callable[[Point], bool]) -> int | None:
    """Return the fewest shots from which a condition holds at all further points; `None` if there are none."""
    fewest = None
    for each in reversed(points):
        if not holds(each):
            break
        fewest = each.setting.shots
    return fewest
