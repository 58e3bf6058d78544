"""Figures of a measurement: loss and predictions by shots and by noise."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qweft.evaluation.noise.outcome import NoiseResults, Point
from qweft.figures.figure import SMALL, End, Notes, ReportFigure, dress, name_at_right, short
from qweft.figures.styles import INK, styles
from qweft.text import many

APART = 1.05
"""Horizontal offset, as a factor, between points of successive noise scales, so that they do not overlap."""
COMPUTED, BASE, OFF = "computed", "base model", "base model ↑"
"""Labels of the two baseline losses; the last one replaces "base model" if that lies above the axes."""
BARS = "Bars: one standard error over rows, of the difference to the exact loss."
BY_SHOTS, BY_NOISE = FIGURES = "by_shots", "by_noise"


@dataclass(frozen=True)
class _Line:
    """A line of both panels: its name, its points with their places, and points drawn as dotted limits."""

    name: str
    points: Sequence[tuple[float, Point]]
    limits: Sequence[Point] = ()


def figures(results: NoiseResults) -> list[ReportFigure]:
    """Return the figures: by shots with several numbers of shots, by noise with several noise scales.

    That by noise waits for the last setting: until then the scales have other numbers of shots.
    """
    made = []
    if len({point.setting.shots for point in results.points} - {None}) > 1:
        made.append(_by_shots(results))
    if len(results.scales) > 1 and len(results.points) == results.planned:
        made.append(_by_noise(results))
    return made


def _by_shots(results: NoiseResults) -> ReportFigure:
    lines = []
    for number, scale in enumerate(results.scales):
        points = results.at(scale)
        placed = [(APART**number * point.setting.shots, point) for point in points if point.setting.shots is not None]
        limits = [point for point in points if point.setting.shots is None]
        lines.append(_Line(f"noise x {scale:g}" if results.has_noise else results.device, placed, limits))

    def finish(lower: Axes) -> None:
        lower.set_xscale("log")
        lower.set_xlabel("shots a circuit")
        lower.xaxis.set_major_formatter(lambda value, _: short(value))

    in_words = "; ".join(
        f"{line.name}: "
        + ", ".join(f"{_shots(point)} {point.loss:.3f}" for point in (*(p for _, p in line.points), *line.limits))
        for line in lines
    )
    caption = BARS
    if any(line.limits for line in lines):
        caption += " Dotted: what more shots lead to."
    if len(lines) > 1:
        caption += " Points of one number of shots stand side by side."
    return _figure(results, BY_SHOTS, lines, finish, ("by shots", caption, in_words))


def _by_noise(results: NoiseResults) -> ReportFigure:
    last = [results.at(scale)[-1] for scale in results.scales]

    def finish(lower: Axes) -> None:
        lower.set_xscale("symlog", linthresh=min(scale for scale in results.scales if scale > 0))
        lower.set_xlabel("noise, in units of the noise model")
        lower.set_xticks(list(results.scales), [f"{scale:g}" for scale in results.scales])

    in_words = ", ".join(f"x {point.setting.noise_scale:g} {point.loss:.3f}" for point in last)
    line = _Line("measured", list(zip(results.scales, last, strict=True)))
    return _figure(results, BY_NOISE, [line], finish, (f"by noise, {_shots(last[0])}", BARS, in_words))


def _figure(
    results: NoiseResults,
    name: str,
    lines: Sequence[_Line],
    finish: Callable[[Axes], None],
    words: tuple[str, str, str],
) -> ReportFigure:
    """Return a figure of two panels: the loss above, with its baselines, and below the share of equal predictions."""
    by, caption, in_words = words
    computed, losses = results.computed, [results.computed.exact, *(point.loss for point in results.points)]
    # if the base model's loss is so high that including it would compress all other values
    is_off = computed.base - max(losses) > max(losses) - min(losses)
    style = styles([*(line.name for line in lines), COMPUTED, BASE])

    def draw(figure: Figure) -> Notes:
        upper, lower = figure.subplots(2, sharex=True)
        finish(lower)
        for axes in (upper, lower):
            ends = []
            for line in lines:
                ends += _draw_line(axes, line, End(0.0, line.name, style[line.name]), axes is upper)
            if axes is upper:
                low, high = axes.get_ylim()
                margin = 0.05 * (high - low)
                baselines = [computed.exact, *([] if is_off else [computed.base])]
                axes.set_ylim(min(low, computed.exact - margin), max(high, *(each + margin for each in baselines)))
                for loss, label in zip(baselines, (COMPUTED, BASE), strict=False):
                    axes.axhline(loss, color=style[label].hex, linewidth=1)
                ends.append(End(computed.exact, COMPUTED, style[COMPUTED]))
                ends.append(End(computed.base, OFF if is_off else BASE, style[BASE]))
            dress(axes)
            name_at_right(axes, ends)
        what = "held-out loss, nats a token" + (" (drawn tokens measured)" if results.is_diluted else "")
        upper.set_title(what, loc="left", fontsize=SMALL, color=INK)
        lower.set_title("same next token as computed exactly, %", loc="left", fontsize=SMALL, color=INK)
        lower.minorticks_off()
        return {}

    above = f" The base model's loss, {computed.base:.3f}, lies above." if is_off else ""
    ends = f"Computed exactly {computed.exact:.3f}, base model {computed.base:.3f}."
    return ReportFigure(
        name,
        f"Loss and predictions {by}: {results.measures}",
        f"{caption}{above}",
        f"Held-out loss {by.partition(',')[0]}. {ends} {in_words}.",
        5.2,
        draw,
    )


def _draw_line(axes: Axes, line: _Line, end: End, with_losses: bool) -> list[End]:
    """Draw a line with error bars and its limits; return the position of its label."""
    values = [(x, *_value(point, with_losses)) for x, point in line.points]
    drawn = [(x, middle, error) for x, middle, error in values if middle is not None]
    for limit in line.limits:
        middle, _ = _value(limit, with_losses)
        if middle is not None:
            axes.axhline(middle, color=end.style.hex, linewidth=1, linestyle=":")
    if not drawn:
        return []
    axes.errorbar(
        [x for x, _, _ in drawn],
        [middle for _, middle, _ in drawn],
        yerr=[error or math.nan for _, _, error in drawn],
        color=end.style.hex,
        linestyle=end.style.line,
        marker=end.style.marker,
        markersize=5,
        markeredgewidth=0,
        linewidth=1.4,
        capsize=2,
    )
    return [end._replace(value=drawn[-1][1])]


def _value(point: Point, with_losses: bool) -> tuple[float | None, float | None]:
    """Return a point's loss, or its agreement in percent, with the error."""
    if with_losses:
        return point.loss, point.rise_error
    if point.agreement is None:
        return None, None
    return 100 * point.agreement, None if point.agreement_error is None else 100 * point.agreement_error


def _shots(point: Point) -> str:
    return "exact probabilities" if point.setting.shots is None else many(point.setting.shots, "shot")
