"""The table and sentences of a measurement, for the terminal and as a page with figures."""

import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text

from qweft.environment import share_said
from qweft.evaluation.noise.grid import Setting
from qweft.evaluation.noise.results import NoiseResults, Point, enough_shots
from qweft.evaluation.row_scores import CLEAR
from qweft.figures.figure import SMALL, End, Notes, ReportFigure, dress, name_at_right, short
from qweft.figures.styles import INK, styles
from qweft.files import write_bytes, write_json
from qweft.text import escaped, many, plain

AGREEING = 0.99
NUMBERS, PAGE = "robustness.json", "robustness.md"
BY_SHOTS, BY_NOISE = FIGURES = "by_shots", "by_noise"
APART = 1.05
"""Horizontal offset, as a factor, between points of successive noise scales, so that they do not overlap."""


def describe(results: NoiseResults) -> Group:
    """Return the table of settings, its legend, and the findings, for the terminal."""
    head, *rows = table(results)
    drawn = Table(title=title(results), title_justify="left", box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for column in head:
        drawn.add_column(column, justify="right")
    for row in rows:
        drawn.add_row(*row)
    return Group(drawn, Text(legend(results)), Text(""), *(Text(line) for line in findings(results)))


def title(results: NoiseResults) -> str:
    """Return a summary of the measurement in one line."""
    dtype = results.environment.get("dtype")
    line = f"{results.device} on {results.data}: {results.measures}" + (f", model in {dtype}" if dtype else "")
    return f"{line}; {results.mitigation}" if results.mitigation else line


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
        f"({each.sent:,} run), {each.seconds:.0f} s, CPU taken by others: {share_said(each.cpu_by_others)}"
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
    shots = "without the noise of counting" if last.setting.shots is None else f"at {many(last.setting.shots, 'shot')}"
    line = f"{shots} the loss is {_rise(last)} from the exact one"
    gain, error = results.gain[0], results.gain[1] or 0.0
    if gain <= CLEAR * error:
        return f"{line}; the adapter does not clearly lower the base model's loss on these rows."
    of = f"of the {gain:.4f} ± {error:.4f} by which the adapter lowers the base model's loss"
    spread = last.rise_error or 0.0
    if last.rise <= spread:
        return f"{line}: no loss {of} is shown."
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


def figures(results: NoiseResults) -> list[ReportFigure]:
    """Return the figures: by shots with several numbers of shots, by noise with several noise scales.

    That by noise waits for the last setting: until then the scales have other numbers of shots.
    """
    made = []
    if len({point.setting.shots for point in results.points} - {None}) > 1:
        lines = {
            f"noise x {scale:g}" if results.has_noise else results.device: [
                (None if point.setting.shots is None else APART**number * point.setting.shots, point)
                for point in results.at(scale)
            ]
            for number, scale in enumerate(results.scales)
        }
        made.append(_figure(results, BY_SHOTS, "by shots", lines))
    if len(results.scales) > 1 and len(results.points) == results.planned:
        points: list[tuple[float | None, Point]] = [(scale, results.at(scale)[-1]) for scale in results.scales]
        made.append(_figure(results, BY_NOISE, f"by noise, {_shots(points[0][1])}", {"measured": points}))
    return made


Lines = dict[str, list[tuple[float | None, Point]]]
"""Places and points of each line by its name; a point without a place is drawn as a dotted limit."""


def _figure(results: NoiseResults, name: str, by: str, lines: Lines) -> ReportFigure:
    """Return a figure of two panels: the loss above, and below the share of equal predictions."""
    style = styles([*lines, "computed"])
    exact = results.computed.exact
    panels: list[tuple[str, Callable[[Point], tuple[float | None, float | None]]]] = [
        ("held-out loss, nats a token", lambda point: (point.loss, point.rise_error)),
        ("same next token as computed exactly, %", lambda p: (_percent(p.agreement), _percent(p.agreement_error))),
    ]

    def draw(figure: Figure) -> Notes:
        for axes, (label, value) in zip(figure.subplots(2, sharex=True), panels, strict=True):
            _scale(axes, name, results.scales)
            ends = []
            for line, points in lines.items():
                drawn = [(x, *value(point)) for x, point in points if value(point)[0] is not None]
                colour, marked = style[line].hex, [each for each in drawn if each[0] is not None]
                for x, middle, _ in drawn:
                    if x is None and middle is not None:
                        axes.axhline(middle, color=colour, linewidth=1, linestyle=":")
                if not marked:
                    continue
                places, middles, errors = zip(*marked, strict=True)
                axes.errorbar(
                    places, middles, [error or math.nan for error in errors], color=colour, linewidth=1.4, capsize=2,
                    linestyle=style[line].line, marker=style[line].marker, markersize=5, markeredgewidth=0,
                )  # fmt: skip
                ends.append(End(middles[-1], line, style[line]))
            if value is panels[0][1]:
                axes.axhline(exact, color=style["computed"].hex, linewidth=1)
                ends.append(End(exact, "computed", style["computed"]))
            axes.margins(y=0.1)
            dress(axes)
            name_at_right(axes, ends)
            axes.set_title(label, loc="left", fontsize=SMALL, color=INK)
        return {}

    in_words = "; ".join(
        f"{line}: " + ", ".join(f"{setting_name(results, point.setting)} {point.loss:.3f}" for _, point in points)
        for line, points in lines.items()
    )
    return ReportFigure(
        name,
        f"Loss and predictions {by}: {results.measures}",
        "Bars: one standard error over rows, of the difference to the exact loss. Dotted: exact probabilities.",
        f"Held-out loss. Computed exactly {exact:.3f}, base model {results.computed.base:.3f}. {in_words}.",
        5.2,
        draw,
    )


def _scale(axes: Axes, name: str, scales: Sequence[float]) -> None:
    if name == BY_SHOTS:
        axes.set_xscale("log")
        axes.set_xlabel("shots a circuit")
        axes.xaxis.set_major_formatter(lambda value, _: short(value))
    else:
        axes.set_xscale("symlog", linthresh=min(scale for scale in scales if scale > 0))
        axes.set_xlabel("noise, in units of the noise model")
        axes.set_xticks(list(scales), [f"{scale:g}" for scale in scales])
    axes.minorticks_off()


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _shots(point: Point) -> str:
    return "exact probabilities" if point.setting.shots is None else many(point.setting.shots, "shot")


def written(folder: Path) -> list[Path]:
    """Return the files of a report that are in a folder, the numbers first."""
    names = (NUMBERS, PAGE, *(f"{name}.png" for name in FIGURES))
    return [folder / name for name in names if os.path.lexists(folder / name)]


def write(results: NoiseResults, folder: Path) -> Path:
    """Write numbers, figures and page to the folder; return the path of the page."""
    write_json(folder / NUMBERS, results.to_json())
    made = figures(results)
    for figure in made:
        figure.write(folder)
    head, *rows = table(results)
    lines = [
        f"# {escaped(title(results))}",
        "",
        f"Adapter: {escaped(results.adapter)}. Device: {escaped(results.identity)}.",
        "",
        *(f"- {escaped(line)}" for line in findings(results)),
        "",
        *(f"| {' | '.join(row)} |" for row in (head, ["---:"] * len(head), *rows)),
        "",
        legend(results),
        "",
        *(line for figure in made for line in (f"![{escaped(figure.title)}]({figure.file})", "", figure.caption, "")),
        *_answers(results),
        "    " + " ".join(str(results.environment.get("command", "")).split()),  # one line, or its rest is markup
        "",
    ]
    write_bytes(folder / PAGE, plain("\n".join(lines)).encode())
    return folder / PAGE


def _answers(results: NoiseResults) -> list[str]:
    """Return Markdown lines for each prompt, its distinct answers, and the settings that gave them."""
    lines = []
    for number, (prompt, exact) in enumerate(zip(results.prompts, results.computed.answers, strict=True)):
        given: dict[str, list[str]] = {exact: ["computed"]}
        for scale in results.scales:
            for each in results.at(scale):
                given.setdefault(each.answers[number], []).append(setting_name(results, each.setting))
        lines += [f"**{escaped(prompt) or '(nothing)'}**", ""]
        lines += [f"- {escaped(each) or '(nothing)'} ({escaped('; '.join(where))})" for each, where in given.items()]
        lines.append("")
    return lines
