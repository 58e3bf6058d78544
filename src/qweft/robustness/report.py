"""The output folder of a robustness run: JSON, figures, and a Markdown page."""

import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qweft.figures.figure import SMALL, End, Notes, ReportFigure, dress, name_at_right, short
from qweft.figures.styles import INK, Style, styles
from qweft.files import write_bytes, write_json
from qweft.robustness.describe import legend, setting_name, table, text, title
from qweft.robustness.outcome import Point, Robustness
from qweft.text import escaped, many, plain

Value = Callable[[Point], tuple[float | None, float | None]]

APART = 1.05
"""Horizontal offset, as a factor, between points of successive noise scales, so that they do not overlap."""
COMPUTED, BASE, OFF = "computed", "base model", "base model ↑"
"""Labels of the two baseline losses; the last one replaces "base model" if that lies above the axes."""
BARS = "Bars: one standard error over rows, of the difference to the exact loss."

NUMBERS = "robustness.json"
PAGE = "robustness.md"
BY_SHOTS, BY_NOISE = FIGURES = "by_shots", "by_noise"


def figures(found: Robustness) -> list[ReportFigure]:
    """Returns the figures: by shots with several numbers of shots, by noise with several noise scales.

    That by noise waits for the last setting: until then the scales have other numbers of shots.
    """
    made = []
    if len({point.setting.shots for point in found.points} - {None}) > 1:
        made.append(_by_shots(found))
    if len(found.scales) > 1 and len(found.points) == found.planned:
        made.append(_by_noise(found))
    return made


def _loss(point: Point) -> tuple[float | None, float | None]:
    return point.loss, point.rise_error


def _agreement(point: Point) -> tuple[float | None, float | None]:
    if point.agreement is None:
        return None, None
    return 100 * point.agreement, None if point.agreement_error is None else 100 * point.agreement_error


def _by_shots(found: Robustness) -> ReportFigure:
    names = [_name(found, scale) for scale in found.scales]
    style = styles([*names, COMPUTED, BASE])

    def draw(figure: Figure) -> Notes:
        upper, lower = figure.subplots(2, sharex=True)
        for axes, value in ((upper, _loss), (lower, _agreement)):
            axes.set_xscale("log")
            ends = []
            for number, (name, scale) in enumerate(zip(names, found.scales, strict=True)):
                ends += _shots_line(axes, found, scale, APART**number, End(0.0, name, style[name]), value)
            _finish(axes, found, style, ends, with_losses=axes is upper)
        _titles(upper, lower, found)
        lower.set_xlabel("shots a circuit")
        lower.xaxis.set_major_formatter(lambda value, _: short(value))
        lower.minorticks_off()
        return {}

    told = "; ".join(
        f"{_name(found, scale)}: " + ", ".join(f"{_shots(point)} {point.loss:.3f}" for point in found.at(scale))
        for scale in found.scales
    )
    limit = " Dotted: what more shots lead to." if any(point.setting.shots is None for point in found.points) else ""
    beside = " Points of one number of shots stand side by side." if len(names) > 1 else ""
    return ReportFigure(
        BY_SHOTS,
        f"Loss and predictions by shots: {found.measures}",
        f"{BARS}{limit}{beside}{_off_scale(found)}",
        f"Held-out loss by shots. {_ends(found)} {told}.",
        5.2,
        draw,
    )


def _by_noise(found: Robustness) -> ReportFigure:
    last = [found.at(scale)[-1] for scale in found.scales]
    style = styles(["measured", COMPUTED, BASE])

    def draw(figure: Figure) -> Notes:
        upper, lower = figure.subplots(2, sharex=True)
        for axes, value in ((upper, _loss), (lower, _agreement)):
            axes.set_xscale("symlog", linthresh=min(scale for scale in found.scales if scale > 0))
            ends = _bars(axes, list(found.scales), last, End(0.0, "measured", style["measured"]), value)
            _finish(axes, found, style, ends, with_losses=axes is upper)
        _titles(upper, lower, found)
        lower.set_xlabel("noise, in units of the noise model")
        lower.set_xticks(list(found.scales), [f"{scale:g}" for scale in found.scales])
        lower.minorticks_off()
        return {}

    told = ", ".join(f"x {point.setting.noise_scale:g} {point.loss:.3f}" for point in last)
    return ReportFigure(
        BY_NOISE,
        f"Loss and predictions by noise, {_shots(last[0])}: {found.measures}",
        f"{BARS}{_off_scale(found)}",
        f"Held-out loss by noise. {_ends(found)} {told}.",
        5.2,
        draw,
    )


def _shots_line(axes: Axes, found: Robustness, scale: float, apart: float, end: End, value: Value) -> list[End]:
    points = [point for point in found.at(scale) if point.setting.shots is not None]
    ends = _bars(axes, [apart * (point.setting.shots or 0) for point in points], points, end, value)
    for limit in (point for point in found.at(scale) if point.setting.shots is None):
        middle, _ = value(limit)
        if middle is not None:
            axes.axhline(middle, color=end.style.hex, linewidth=1, linestyle=":")
    return ends


def _bars(axes: Axes, at: Sequence[float], points: Sequence[Point], end: End, value: Value) -> list[End]:
    """Draws a line with error bars; returns the position of its label."""
    drawn = [
        (x, middle, error) for x, (middle, error) in zip(at, map(value, points), strict=True) if middle is not None
    ]
    if not drawn:
        return []
    axes.errorbar(
        [x for x, _, _ in drawn], [middle for _, middle, _ in drawn], yerr=[error or math.nan for _, _, error in drawn],
        color=end.style.hex, linestyle=end.style.line, marker=end.style.marker, markersize=5, markeredgewidth=0,
        linewidth=1.4, capsize=2,
    )  # fmt: skip
    return [end._replace(value=drawn[-1][1])]


def _finish(axes: Axes, found: Robustness, style: dict[str, Style], ends: list[End], with_losses: bool) -> None:
    """Draws lines at the baseline losses, labels all lines at their right ends, and styles the axes."""
    if with_losses:
        low, high = axes.get_ylim()
        margin = 0.05 * (high - low)
        axes.set_ylim(min(low, found.computed.exact - margin), max(high, found.computed.exact + margin))
        is_off = _is_off_scale(found)
        if not is_off:
            axes.set_ylim(axes.get_ylim()[0], max(axes.get_ylim()[1], found.computed.base + margin))
            axes.axhline(found.computed.base, color=style[BASE].hex, linewidth=1)
        axes.axhline(found.computed.exact, color=style[COMPUTED].hex, linewidth=1)
        ends = [
            *ends,
            End(found.computed.exact, COMPUTED, style[COMPUTED]),
            End(found.computed.base, OFF if is_off else BASE, style[BASE]),
        ]
    dress(axes)
    name_at_right(axes, ends)


def _titles(upper: Axes, lower: Axes, found: Robustness) -> None:
    what = "held-out loss, nats a token" + (" (drawn tokens measured)" if found.is_diluted else "")
    upper.set_title(what, loc="left", fontsize=SMALL, color=INK)
    lower.set_title("same next token as computed exactly, %", loc="left", fontsize=SMALL, color=INK)


def _is_off_scale(found: Robustness) -> bool:
    """Whether the base model's loss is so high that including it would compress all other values."""
    losses = [found.computed.exact, *(point.loss for point in found.points)]
    return found.computed.base - max(losses) > max(losses) - min(losses)


def _off_scale(found: Robustness) -> str:
    return f" The base model's loss, {found.computed.base:.3f}, lies above." if _is_off_scale(found) else ""


def _ends(found: Robustness) -> str:
    return f"Computed exactly {found.computed.exact:.3f}, base model {found.computed.base:.3f}."


def _name(found: Robustness, scale: float) -> str:
    return f"noise x {scale:g}" if found.has_noise else found.device


def _shots(point: Point) -> str:
    return "exact probabilities" if point.setting.shots is None else many(point.setting.shots, "shot")


def written(folder: Path) -> list[Path]:
    """Returns what of a report is in a folder, the numbers first."""
    drawn = (f"{name}.{ending}" for name in FIGURES for ending in ("png", "svg"))
    return [folder / name for name in (NUMBERS, PAGE, *drawn) if os.path.lexists(folder / name)]


def write(found: Robustness, folder: Path) -> Path:
    """Writes numbers, figures and page to the folder; returns the path of the page."""
    write_json(folder / NUMBERS, found.to_json())
    made = figures(found)
    for figure in made:
        figure.write(folder)
        write_bytes(folder / f"{figure.name}.svg", _standing_alone(figure.svg()).encode())
    lines = [
        f"# {escaped(title(found))}",
        "",
        f"Adapter: {escaped(found.adapter)}. Device: {escaped(found.identity)}.",
        "",
        *(f"- {escaped(line)}" for line in text(found)),
        "",
        *_table(found),
        "",
        legend(found),
        "",
        *(line for figure in made for line in (f"![{escaped(figure.title)}]({figure.file})", "", figure.caption, "")),
        *_answers(found),
        "    " + " ".join(str(found.environment.get("command", "")).split()),  # one line, or its rest would be markup
        "",
    ]
    write_bytes(folder / PAGE, plain("\n".join(lines)).encode())
    return folder / PAGE


def _table(found: Robustness) -> list[str]:
    head, *rows = table(found)
    return [f"| {' | '.join(row)} |" for row in (head, ["---:"] * len(head), *rows)]


def _answers(found: Robustness) -> list[str]:
    """Returns Markdown lines for each prompt, its distinct answers, and the settings that gave them."""
    lines = []
    for number, (prompt, exact) in enumerate(zip(found.prompts, found.computed.answers, strict=True)):
        given: dict[str, list[str]] = {exact: ["computed"]}
        for scale in found.scales:
            for each in found.at(scale):
                given.setdefault(each.answers[number], []).append(setting_name(found, each.setting))
        lines += [f"**{_one_line(prompt)}**", ""]
        lines += [f"- {_one_line(answer)} ({escaped('; '.join(where))})" for answer, where in given.items()]
        lines.append("")
    return lines


def _one_line(text: str) -> str:
    return escaped(text) or "(nothing)"


def _standing_alone(svg: str) -> str:
    """Returns an inline SVG element as a standalone SVG file."""
    return svg.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" style="color: #222324" ', 1)
