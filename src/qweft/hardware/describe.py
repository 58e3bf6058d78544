"""A robustness run in words and tables."""

from collections.abc import Sequence

from rich.console import Group
from rich.table import Table
from rich.text import Text

from qweft.hardware.outcome import Point, Robustness, enough_shots

AGREEING = 0.99


def describe(found: Robustness) -> Group:
    """A table of the settings, and what it says, for the terminal."""
    head, *rows = table(found)
    drawn = Table(title=f"{found.device} on {found.data}: {found.measures}", title_justify="left")
    for column in head:
        drawn.add_column(column, justify="right")
    for row in rows:
        drawn.add_row(*row)
    return Group(drawn, *(Text(line) for line in words(found)))


def table(found: Robustness) -> list[tuple[str, ...]]:
    """Its rows as text, the head first; the strength of noise has a column where there is noise."""
    rows = [
        ("noise", "shots", "loss", "above exact", "same next token", "same answers", "circuits"),
        ("", "computed", f"{found.exact:.4f}", "", "", "", "0"),
        *(_cells(each) for scale in found.scales for each in found.at(scale)),
        ("", "base model", f"{found.base:.4f}", f"{found.base - found.exact:+.4f}", "", "", "0"),
    ]
    return rows if found.has_noise else [row[1:] for row in rows]


def _cells(each: Point) -> tuple[str, ...]:
    answers = len(each.answers)
    return (
        f"x {each.setting.noise_scale:g}",
        "all" if each.setting.shots is None else f"{each.setting.shots:,}",
        f"{each.loss:.4f}",
        f"{each.rise:+.4f}" + ("" if each.rise_error is None else f" ± {each.rise_error:.4f}"),
        f"{100 * each.agreement:.1f}%",
        f"{each.same_answers} of {answers}" if answers else "-",
        f"{each.circuits:,}",
    )


def words(found: Robustness) -> list[str]:
    """For each strength of noise what becomes of the adapter's gain, and which shots are needed."""
    said = []
    for scale in found.scales:
        points = found.at(scale)
        last = points[-1]
        where = f"noise x {scale:g}: " if found.has_noise else ""
        shots = "without the noise of counting" if last.setting.shots is None else f"at {last.setting.shots:,} shots"
        said.append(f"{where}{shots} {_kept(found, last)}.")
        if any(point.setting.shots is not None for point in points):
            said.append(f"{where}{_needed(points)}")
    return said


def _kept(found: Robustness, last: Point) -> str:
    """What is left of what training brought."""
    gain = found.base - found.exact
    if gain <= 0:
        return f"the loss is {last.rise:+.4f} from the exact one"
    kept = (found.base - last.loss) / gain
    if kept <= 0:
        return f"nothing is left of the {gain:.4f} by which the adapter lowers the base model's loss"
    return f"{100 * kept:.1f}% of the {gain:.4f} by which the adapter lowers the base model's loss are kept"


def _needed(points: Sequence[Point]) -> str:
    tokens = enough_shots(points, lambda point: point.agreement >= AGREEING)
    said = (
        f"99% of the next tokens stay the same from {tokens:,} shots on"
        if tokens
        else "99% of the next tokens stay the same at none of these shots"
    )
    if not points[0].answers:
        return f"{said}."
    answers = enough_shots(points, lambda point: point.same_answers == len(point.answers))
    return f"{said}, all answers from {answers:,} on." if answers else f"{said}, and at none of them all answers."
