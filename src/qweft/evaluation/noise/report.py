"""The table and sentences of a measurement."""

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text

from qweft.environment import share_said
from qweft.evaluation.noise.grid import Setting
from qweft.evaluation.noise.results import NoiseResults, Point, enough_shots
from qweft.evaluation.row_scores import CLEAR
from qweft.text import many

AGREEING = 0.99


def describe(results: NoiseResults) -> Group:
    """Return the table of settings, its legend, and the findings, for the terminal."""
    head, *rows = table(results)
    dtype, mitigation = results.environment.get("dtype"), f"; {results.mitigation}" if results.mitigation else ""
    title = f"{results.device} on {results.data}: {results.measures}, model in {dtype}{mitigation}"
    drawn = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for column in head:
        drawn.add_column(column, justify="right")
    for row in rows:
        drawn.add_row(*row)
    return Group(drawn, Text(legend(results)), Text(""), *(Text(line) for line in findings(results)))


def table(results: NoiseResults) -> list[tuple[str, ...]]:
    """Return the rows of the table as text, head first; without a noise model the noise column is left out."""
    computed = results.computed
    rows = [
        ("noise", "shots", "loss", "above exact", "same next token", "same answers", "circuits", "run"),
        ("", "computed", f"{computed.exact:.4f}", "", "", "", "0", "0"),
        *(_cells(each) for scale in results.scales for each in results.at(scale)),
        ("", "base model", f"{computed.base:.4f}", f"{results.gain[0]:+.4f}", "", "", "0", "0"),
    ]
    return rows if results.has_noise else [row[1:] for row in rows]


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


def legend(results: NoiseResults) -> str:
    """Return the legend of the table."""
    of = "of the targets that a measured token predicts" if results.is_diluted else "of the targets"
    return (
        "loss: nats a target token; ±: one standard error over rows, paired; same next token: share "
        f"{of} whose most probable token stays what it is when computed exactly; circuits: asked for, equal ones of "
        "one call once; run: those that had no result yet."
    )


def one_line(results: NoiseResults, each: Point) -> str:
    """Return the result at one setting in one line, for progress output."""
    return (
        f"{setting_name(results, each.setting)}: loss {each.loss:.4f}, {many(each.circuits, 'circuit')} "
        f"({each.sent:,} run), {each.seconds:.0f} s, other programs used {share_said(each.cpu_by_others)} of the CPU"
    )


def setting_name(results: NoiseResults, setting: Setting) -> str:
    """Return a short name of a setting."""
    shots = "exact probabilities" if setting.shots is None else many(setting.shots, "shot")
    return f"noise x {setting.noise_scale:g}, {shots}" if results.has_noise else shots


def findings(results: NoiseResults) -> list[str]:
    """Return sentences on what is left of the adapter's gain, and how many shots are needed."""
    lines = []
    if len(results.points) < results.planned:
        lines.append(f"{len(results.points)} of {many(results.planned, 'setting')} measured so far.")
    if results.is_diluted:
        return [
            *lines,
            "Single tokens were measured and the others computed exactly, so the effect on the loss cannot be told. "
            "Allow more circuits, or name fewer layers.",
        ]
    for scale in results.scales:
        points = results.at(scale)
        where = f"noise x {scale:g}: " if results.has_noise else ""
        lines.append(where + _share_left(results, points[-1]))
        if any(point.setting.shots is not None for point in points):
            lines.append(where + _shots_needed(points))
    return lines


def _share_left(results: NoiseResults, last: Point) -> str:
    """Return a sentence on the share of the adapter's gain that is left at a point."""
    shots = "without shot noise" if last.setting.shots is None else f"at {many(last.setting.shots, 'shot')}"
    line = f"{shots} the loss is {_rise(last)} from the exact one"
    gain, error = results.gain[0], results.gain[1] or 0.0
    if gain <= CLEAR * error:
        return f"{line}; the adapter does not clearly lower the base model's loss on these rows."
    of = f"of the {gain:.4f} ± {error:.4f} by which the adapter lowers the base model's loss"
    spread = last.rise_error or 0.0
    if last.rise <= spread:
        return f"{line}: nothing {of} is lost, as far as these rows tell."
    left, spread = 100 * (1 - last.rise / gain), 100 * spread / gain
    return f"{line}: {f'{left:.1f}% ± {spread:.1f}% are left' if left + spread > 0 else 'nothing is left'} {of}."


def _shots_needed(points: Sequence[Point]) -> str:
    parts = []
    if any(point.agreement is not None for point in points):
        enough = enough_shots(points, lambda point: (point.agreement or 0.0) >= AGREEING)
        parts.append(f"at least 99% of the next tokens stay the same {_from(enough)}")
    if points[0].answers:
        enough = enough_shots(points, lambda point: point.same_answers == len(point.answers))
        parts.append(f"all answers stay the same {_from(enough)}")
    return f"{', '.join(parts)}." if parts else "no measured token predicts a target."


def _from(shots: int | None) -> str:
    return "at none of these numbers of shots" if shots is None else f"from {shots:,} shots on"
