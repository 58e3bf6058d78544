"""A robustness run in words and tables."""

from collections.abc import Callable, Sequence

from rich.console import Group
from rich.table import Table
from rich.text import Text

from qweft.hardware.outcome import Point, Robustness, Setting, enough_shots

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


def setting_name(found: Robustness, setting: Setting) -> str:
    """A setting in a few words."""
    shots = "exact probabilities" if setting.shots is None else f"{setting.shots:,} shots"
    return f"noise x {setting.noise_scale:g}, {shots}" if found.has_noise else shots


def words(found: Robustness) -> list[str]:
    """For each strength of noise what becomes of the adapter's gain, and which shots are needed."""
    said = []
    for scale in found.scales:
        points = found.at(scale)
        where = f"noise x {scale:g}: " if found.has_noise else ""
        said.append(where + _kept(found, points[-1]))
        if any(point.setting.shots is not None for point in points):
            said.append(where + _needed(points))
    return said


def _kept(found: Robustness, last: Point) -> str:
    """What is left of what training brought."""
    shots = "without the noise of counting" if last.setting.shots is None else f"at {last.setting.shots:,} shots"
    error = "" if last.rise_error is None else f" ± {last.rise_error:.4f}"
    said = f"{shots} the loss is {last.rise:+.4f}{error} from the exact one"
    gain = found.base - found.exact
    if gain <= 0:
        return f"{said}."
    kept = max(0.0, (found.base - last.loss) / gain)
    return f"{said}; of the {gain:.4f} by which the adapter lowers the base model's loss {100 * kept:.0f}% are left."


def _needed(points: Sequence[Point]) -> str:
    tokens = _from(points, lambda point: point.agreement >= AGREEING)
    if not points[0].answers:
        return f"99% of the next tokens stay the same {tokens}."
    answers = _from(points, lambda point: point.same_answers == len(point.answers))
    return f"99% of the next tokens stay the same {tokens}, all answers {answers}."


def _from(points: Sequence[Point], holds: Callable[[Point], bool]) -> str:
    """From which number of shots on something holds, in words."""
    tried = [point.setting.shots for point in points if point.setting.shots is not None]
    enough = enough_shots(points, holds)
    if enough is None:
        return "at none of these numbers of shots" if len(tried) > 1 else f"not at {tried[0]:,} shots"
    if enough == min(tried):
        return "at all of these numbers of shots" if len(tried) > 1 else f"at {tried[0]:,} shots"
    return f"from {enough:,} shots on"
