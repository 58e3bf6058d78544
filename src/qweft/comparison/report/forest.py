"""Forest plots of the paired differences and their intervals."""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qweft.comparison.verdicts import Verdict
from qweft.figures.figure import SMALL, Notes, ReportFigure, dress
from qweft.figures.styles import INK, PAPER, Style, fitting

Part = Literal["hybrids", "others"]
NAMES: dict[Part, str] = {"hybrids": "differences", "others": "differences_others"}
TITLES: dict[Part, str] = {
    "hybrids": "Methods with a circuit, held against others",
    "others": "Other methods, held against the reference",
}

ROW = 0.225
"""Height of a row, in inches."""


class Difference(NamedTuple):
    """One paired difference of held-out losses in percent, with its interval."""

    group: str
    name: str
    method: str
    other: str
    mean: float
    low: float
    high: float
    shown: bool


def differences(findings: Sequence[Verdict], part: Part) -> list[Difference]:
    """Return the findings that have an interval, each pair of methods once, grouped by heading."""
    found: dict[tuple[str, str], Difference] = {}
    for finding in findings:
        is_asked = finding.topic != "claim" and (finding.topic == "other") == (part == "others")
        if is_asked and finding.difference is not None and finding.interval:
            others = part == "others"
            group, name = (finding.other, finding.method) if others else (finding.method, finding.other)
            heading = f"against {fitting(group)}" if others else f"{fitting(group)} against"
            entry = Difference(heading, name, finding.method, finding.other, finding.difference, *finding.interval,
                               finding.direction in ("lower", "higher"))  # fmt: skip
            found.setdefault((finding.method, finding.other), entry)
    groups = list(dict.fromkeys(entry.group for entry in found.values()))
    return sorted(found.values(), key=lambda entry: groups.index(entry.group))


def forest_figure(
    findings: Sequence[Verdict], part: Part, styles: Mapping[str, Style], beside: Sequence[Sequence[Verdict]]
) -> ReportFigure | None:
    """Return the figure, or `None` if no finding has an interval."""
    own = differences(findings, part)
    if not own:
        return None
    every = [*own, *(entry for other in beside for entry in differences(other, part))]
    told = "; ".join(
        f"{d.method} against {d.other} {d.mean:+z.2f} percent, from {d.low:+z.2f} to {d.high:+z.2f}" for d in own
    )
    return ReportFigure(
        NAMES[part],
        TITLES[part],
        "Difference in held-out loss, in percent of the other method's, with its 95% interval. Filled: decided.",
        f"{told}.",
        0.75 + ROW * (len(own) + len({entry.group for entry in own})),
        lambda figure: _draw(figure, own, every, styles),
    )


def _draw(figure: Figure, own: Sequence[Difference], every: Sequence[Difference], styles: Mapping[str, Style]) -> Notes:
    axes = figure.subplots()
    notes: Notes = {}
    low, high = min(0.0, *(entry.low for entry in every)), max(0.0, *(entry.high for entry in every))
    axes.set_xlim(low - 0.05 * (high - low), high + 0.05 * (high - low))
    axes.axvline(0, color=INK, linewidth=1)
    places, place, group = [], -1, ""
    for number, entry in enumerate(own):
        place += 1 + (entry.group != group)
        if entry.group != group:
            group = entry.group
            _heading(axes, place - 1, group)
        notes[f"difference-{number}"] = f"{entry.method} against {entry.other}: {_said(entry)}"
        _row(axes, place, entry, styles, f"difference-{number}")
        places.append(place)
    axes.set_ylim(place + 0.7, -0.6)
    axes.set_yticks(places, [fitting(entry.name) for entry in own])
    for label in axes.get_yticklabels():
        label.set_parse_math(False)
    axes.set_xlabel("percent: lower loss ← 0 → higher loss")
    dress(axes, "x")
    axes.tick_params(axis="y", labelsize=SMALL)
    return notes


def _heading(axes: Axes, place: float, text: str) -> None:
    """Write a heading above the names, from the figure's left edge."""
    heading = axes.annotate(
        text, (0, place), xycoords=("figure fraction", "data"), xytext=(4, 0), textcoords="offset points", color=INK,
        fontsize=SMALL, fontweight="bold", verticalalignment="center", annotation_clip=False, parse_math=False,
    )  # fmt: skip
    heading.set_in_layout(False)


def _row(axes: Axes, place: float, entry: Difference, styles: Mapping[str, Style], gid: str) -> None:
    """Draw a difference: interval and mean in the style of the method that labels the row, and both as text."""
    style = styles[entry.name] if entry.name in styles else styles[entry.method]
    axes.plot([entry.low, entry.high], [place, place], color=style.hex, linewidth=1.8)
    (drawn,) = axes.plot([entry.mean], [place], color=style.hex, marker=style.marker, markersize=6.5,
                         markerfacecolor=style.hex if entry.shown else PAPER, markeredgewidth=1.5)  # fmt: skip
    drawn.set_gid(gid)
    axes.text(1.02, place, _said(entry), color=INK, fontsize=SMALL - 1, transform=axes.get_yaxis_transform(),
              verticalalignment="center", fontweight="bold" if entry.shown else "normal")  # fmt: skip


def _said(entry: Difference) -> str:
    """Return the difference with its interval as text, with true minus signs."""
    digits = 2 if max(abs(entry.low), abs(entry.high)) < 10 else 1
    mean, low, high = (f"{value:+z.{digits}f}".replace("-", "−") for value in (entry.mean, entry.low, entry.high))
    return f"{mean} [{low}, {high}]"
