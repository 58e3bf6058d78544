"""Text and tables on the results of a robustness run."""

from collections.abc import Callable, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text

from qweft.environment import share_said
from qweft.evaluation.row_scores import CLEAR
from qweft.robustness.outcome import Point, Robustness, Setting, enough_shots
from qweft.text import many

AGREEING = 0.99
NOTHING = 5e-5
"""Nats that are printed as 0.0000."""


def describe(found: Robustness) -> Group:
    """Returns the table of settings, its legend, and the findings, for the terminal."""
    head, *rows = table(found)
    drawn = Table(title=title(found), title_justify="left", box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for column in head:
        drawn.add_column(column, justify="right")
    for row in rows:
        drawn.add_row(*row)
    return Group(drawn, Text(legend(found)), Text(""), *(Text(line) for line in text(found)))


def title(found: Robustness) -> str:
    """Returns a summary of the measurement in one line."""
    dtype = found.environment.get("dtype")
    said = f"{found.device} on {found.data}: {found.measures}" + (f", model in {dtype}" if dtype else "")
    return f"{said}; {found.mitigation}" if found.mitigation else said


def table(found: Robustness) -> list[tuple[str, ...]]:
    """Returns the rows of the table as text, head first; without a noise model the noise column is left out."""
    computed = found.computed
    rows = [
        ("noise", "shots", "loss", "above exact", "same next token", "same answers", "circuits", "run"),
        ("", "computed", f"{computed.exact:.4f}", "", "", "", "0", "0"),
        *(_cells(each) for scale in found.scales for each in found.at(scale)),
        ("", "base model", f"{computed.base:.4f}", f"{found.gain:+.4f}", "", "", "0", "0"),
    ]
    return rows if found.has_noise else [row[1:] for row in rows]


def _cells(each: Point) -> tuple[str, ...]:
    answers = len(each.answers)
    return (
        f"x {each.setting.noise_scale:g}",
        "all" if each.setting.shots is None else f"{each.setting.shots:,}",
        f"{each.loss:.4f}",
        _rise(each),
        "-" if each.agreement is None else f"{100 * each.agreement:.1f}%",
        f"{each.same_answers} of {answers}" if answers else "-",
        f"{each.circuits:,}",
        f"{each.sent:,}",
    )


def _rise(each: Point) -> str:
    return f"{each.rise:+z.4f}" + ("" if each.rise_error is None else f" ± {each.rise_error:.4f}")


def legend(found: Robustness) -> str:
    """Returns the legend of the table."""
    of = "of the targets that a measured token predicts" if found.sample.kind == "drawn" else "of the targets"
    return (
        "loss: nats a target token; ±: one standard error over rows, paired; same next token: share "
        f"{of} whose most probable token stays what it is when computed exactly; circuits: asked for, equal ones of "
        "one call once; run: those that had no result yet."
    )


def one_line(found: Robustness, each: Point) -> str:
    """Returns the result at one setting in one line, for progress output."""
    return (
        f"{setting_name(found, each.setting)}: loss {each.loss:.4f}, {many(each.circuits, 'circuit')} "
        f"({each.sent:,} run), {each.seconds:.0f} s, CPU taken by others: {share_said(each.cpu_by_others)}"
    )


def setting_name(found: Robustness, setting: Setting) -> str:
    """Returns a short name of a setting."""
    shots = "exact probabilities" if setting.shots is None else many(setting.shots, "shot")
    return f"noise x {setting.noise_scale:g}, {shots}" if found.has_noise else shots


def text(found: Robustness) -> list[str]:
    """Returns for each noise scale how much of the adapter's gain is left, and how many shots are needed."""
    said = []
    if len(found.points) < found.planned:
        said.append(f"{len(found.points)} of {many(found.planned, 'setting')} measured so far.")
    if found.is_diluted:
        return [
            *said,
            "Tokens were drawn one by one, and most of what the loss depends on was computed exactly: what measuring "
            "everything would do to the loss cannot be told from it. Allow more circuits, or name fewer layers.",
        ]
    for scale in found.scales:
        points = found.at(scale)
        where = f"noise x {scale:g}: " if found.has_noise else ""
        said.append(where + _kept(found, points[-1]))
        if any(point.setting.shots is not None for point in points):
            said.append(where + _needed(points))
    return said


def _kept(found: Robustness, last: Point) -> str:
    """Returns a sentence on the share of the adapter's gain that is left at a point."""
    shots = "without the noise of counting" if last.setting.shots is None else f"at {many(last.setting.shots, 'shot')}"
    said = f"{shots} the loss is {_rise(last)} from the exact one"
    if found.gain <= 0:
        return f"{said}; the adapter does not lower the base model's loss on these rows."
    error = found.gain_error
    gain = f"{found.gain:.4f}" + ("" if error is None else f" ± {error:.4f}")
    of = f"of the {gain} by which the adapter lowers the base model's loss"
    if abs(last.rise) < NOTHING:
        return f"{said}: nothing is lost {of}."
    if last.rise_error is not None and abs(last.rise) <= last.rise_error:
        return f"{said}, within its error: that anything is lost {of} is not shown."
    if last.rise <= 0:
        return f"{said}: nothing is lost {of}."
    if found.gain <= CLEAR * (error or 0.0):
        return f"{said}; no share is given {of}, since that gain is within twice its error."
    kept, error = 100 * (1 - last.rise / found.gain), 100 * (last.rise_error or 0) / found.gain
    if kept + error <= 0:
        return f"{said}: nothing is left {of}."
    return f"{said}; {of} {kept:.1f}%" + (f" ± {error:.1f}%" if last.rise_error is not None else "") + " are left."


def _needed(points: Sequence[Point]) -> str:
    said = []
    if any(point.agreement is not None for point in points):
        tokens = _from(points, lambda point: (point.agreement or 0.0) >= AGREEING)
        said.append(f"at least 99% of the next tokens stay the same {tokens}{_if_near(points)}")
    if points[0].answers:
        answers = _from(points, lambda point: point.same_answers == len(point.answers))
        said.append(f"all answers stay the same {answers}" if not said else f"all answers {answers}")
    return f"{', '.join(said)}." if said else "no measured token predicts a target."


def _from(points: Sequence[Point], holds: Callable[[Point], bool]) -> str:
    """Returns a phrase for the number of shots from which a condition holds."""
    tried = [point.setting.shots for point in points if point.setting.shots is not None]
    enough = enough_shots(points, holds)
    if enough is None:
        if points[-1].setting.shots is None and not holds(points[-1]):
            return "at no number of shots, for they do not with exact probabilities"
        return "at none of these numbers of shots" if len(tried) > 1 else f"not at {many(tried[0], 'shot')}"
    if enough.setting.shots == min(tried):
        return "at all of these numbers of shots" if len(tried) > 1 else f"at {many(tried[0], 'shot')}"
    return f"from {enough.setting.shots:,} shots on"


def _if_near(points: Sequence[Point]) -> str:
    """Returns a note on points whose agreement is within one standard error of the limit; empty without any."""
    near = [
        point
        for point in points
        if point.agreement is not None and abs(point.agreement - AGREEING) < (point.agreement_error or 0.0)
    ]
    if not near:
        return ""
    named = ", ".join("exact probabilities" if p.setting.shots is None else f"{p.setting.shots:,}" for p in near)
    return f" (within one standard error of 99%, so not settled: {named})"
