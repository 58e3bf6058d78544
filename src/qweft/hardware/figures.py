"""Loss and predictions against shots, and against the strength of noise."""

import math
from collections.abc import Callable

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qweft.figures.axes import SMALL, dress, short
from qweft.figures.looks import INK, Look, looks
from qweft.figures.plate import Notes, Plate
from qweft.hardware.outcome import Point, Robustness

Value = Callable[[Point], tuple[float, float | None]]


def plates(found: Robustness) -> list[Plate]:
    """The figures that the points give: by shots where several were tried, by noise where several strengths were."""
    made = []
    if len({point.setting.shots for point in found.points} - {None}) > 1:
        made.append(_by_shots(found))
    if len(found.scales) > 1:
        made.append(_by_noise(found))
    return made


def _loss(point: Point) -> tuple[float, float | None]:
    return point.loss, point.rise_error


def _agreement(point: Point) -> tuple[float, float | None]:
    return 100 * point.agreement, None if point.agreement_error is None else 100 * point.agreement_error


def _by_shots(found: Robustness) -> Plate:
    style = looks([_name(found, scale) for scale in found.scales])

    def draw(figure: Figure) -> Notes:
        upper, lower = figure.subplots(2, sharex=True)
        for axes, value in ((upper, _loss), (lower, _agreement)):
            for scale in found.scales:
                _shots_line(axes, found, scale, style[_name(found, scale)], value)
            axes.set_xscale("log")
            dress(axes)
        _marks(upper, found)
        upper.set_title("held-out loss, nats a token", loc="left", fontsize=SMALL, color=INK)
        lower.set_title("same next token as computed exactly, %", loc="left", fontsize=SMALL, color=INK)
        lower.set_xlabel("shots a circuit")
        lower.xaxis.set_major_formatter(lambda value, _: short(value))
        lower.minorticks_off()
        if len(found.scales) > 1:
            lower.legend(fontsize=SMALL, labelcolor=INK, frameon=False)
        return {}

    told = "; ".join(
        f"{_name(found, scale)}: " + ", ".join(f"{_shots(point)} {point.loss:.3f}" for point in found.at(scale))
        for scale in found.scales
    )
    return Plate(
        "by_shots",
        "Loss and predictions by shots",
        "Bars: one standard error over rows, of the difference to the exact loss. Dotted: what more shots lead to.",
        f"Held-out loss by shots. Computed exactly {found.exact:.3f}, base model {found.base:.3f}. {told}.",
        5.2,
        draw,
    )


def _by_noise(found: Robustness) -> Plate:
    style = looks(["adapter"])["adapter"]
    last = [found.at(scale)[-1] for scale in found.scales]

    def draw(figure: Figure) -> Notes:
        upper, lower = figure.subplots(2, sharex=True)
        for axes, value in ((upper, _loss), (lower, _agreement)):
            _bars(axes, list(found.scales), last, style, value)
            axes.set_xscale("symlog", linthresh=min(scale for scale in found.scales if scale > 0))
            dress(axes)
        _marks(upper, found)
        upper.set_title("held-out loss, nats a token", loc="left", fontsize=SMALL, color=INK)
        lower.set_title("same next token as computed exactly, %", loc="left", fontsize=SMALL, color=INK)
        lower.set_xlabel("noise, in units of the noise model")
        lower.set_xticks(list(found.scales), [f"{scale:g}" for scale in found.scales])
        lower.minorticks_off()
        return {}

    told = ", ".join(f"x {point.setting.noise_scale:g} {point.loss:.3f}" for point in last)
    return Plate(
        "by_noise",
        f"Loss and predictions by noise, {_shots(last[0])}",
        "Bars: one standard error over rows, of the difference to the exact loss.",
        f"Held-out loss by noise. Computed exactly {found.exact:.3f}, base model {found.base:.3f}. {told}.",
        5.2,
        draw,
    )


def _shots_line(axes: Axes, found: Robustness, scale: float, look: Look, value: Value) -> None:
    points = [point for point in found.at(scale) if point.setting.shots is not None]
    _bars(axes, [float(point.setting.shots or 0) for point in points], points, look, value, _name(found, scale))
    for limit in (point for point in found.at(scale) if point.setting.shots is None):
        axes.axhline(value(limit)[0], color=look.hex, linewidth=1, linestyle=":")


def _bars(axes: Axes, at: list[float], points: list[Point], look: Look, value: Value, label: str = "") -> None:
    values = [value(point) for point in points]
    axes.errorbar(
        at, [middle for middle, _ in values], yerr=[error or math.nan for _, error in values], color=look.hex,
        linestyle=look.line, marker=look.marker, markersize=5, markeredgewidth=0, linewidth=1.4, capsize=2,
        label=label or None,
    )  # fmt: skip


def _marks(axes: Axes, found: Robustness) -> None:
    """The two losses that the others lie between."""
    low, high = axes.get_ylim()
    axes.set_ylim(min(low, found.exact - 0.03 * (high - low)), high)
    for value, name in ((found.exact, "computed exactly"), (found.base, "base model")):
        low, high = axes.get_ylim()
        if low <= value <= high + 0.5 * (high - low):
            axes.axhline(value, color=INK, linewidth=1)
            axes.annotate(
                name, (0, value), xycoords=("axes fraction", "data"), xytext=(2, 2), textcoords="offset points",
                ha="left", fontsize=SMALL - 1, color=INK,
            )  # fmt: skip


def _name(found: Robustness, scale: float) -> str:
    return f"noise x {scale:g}" if found.has_noise else found.device


def _shots(point: Point) -> str:
    return "exact probabilities" if point.setting.shots is None else f"{point.setting.shots:,} shots"
