"""Forest plots of the paired differences and their intervals."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qweft.comparison.verdicts import Verdict
from qweft.figures.figure import SMALL, ReportFigure, dress
from qweft.figures.styles import INK, PAPER, Style, fitting

ROW = 0.225
"""Height of a row, in inches."""


class Difference(NamedTuple):
    """One paired difference of held-out losses in percent, with its interval, below its heading."""

    group: str
    name: str
    method: str
    other: str
    mean: float
    low: float
    high: float
    shown: bool

    @property
    def said(self) -> str:
        """The difference with its interval as text, with true minus signs."""
        digits = 2 if max(abs(self.low), abs(self.high)) < 10 else 1
        mean, low, high = (f"{value:+z.{digits}f}".replace("-", "−") for value in (self.mean, self.low, self.high))
        return f"{mean} [{low}, {high}]"


def differences(findings: Sequence[Verdict], of_hybrids: bool) -> list[Difference]:
    """Return the findings that have an interval, each pair of methods once, grouped by heading."""
    found: dict[tuple[str, str], Difference] = {}
    for finding in findings:
        pairing = finding.pairing
        is_asked = finding.topic != "claim" and (finding.topic != "other") == of_hybrids
        if is_asked and pairing.mean is not None and pairing.interval:
            group, name = (finding.method, finding.other) if of_hybrids else (finding.other, finding.method)
            heading = f"{fitting(group)} against" if of_hybrids else f"against {fitting(group)}"
            shown = pairing.direction in ("lower", "higher")
            entry = Difference(heading, name, finding.method, finding.other, pairing.mean, *pairing.interval, shown)
            found.setdefault((finding.method, finding.other), entry)
    groups = list(dict.fromkeys(entry.group for entry in found.values()))
    return sorted(found.values(), key=lambda entry: groups.index(entry.group))


def forest_figure(findings: Sequence[Verdict], of_hybrids: bool, styles: Mapping[str, Style]) -> ReportFigure | None:
    """Return the figure of the methods with a circuit, or of the others; `None` if no finding has an interval."""
    own = differences(findings, of_hybrids)
    if not own:
        return None
    kind, against = ("Methods with a circuit", "others") if of_hybrids else ("Other methods", "the reference")
    return ReportFigure(
        "differences" if of_hybrids else "differences_others",
        f"{kind}, held against {against}",
        "Difference in held-out loss, in percent of the other method's, with its 95% interval. Filled: decided.",
        "; ".join(f"{each.method} against {each.other} {each.said} percent" for each in own),
        0.75 + ROW * (len(own) + len({entry.group for entry in own})),
        lambda figure: _draw(figure, own, styles),
    )


def _draw(figure: Figure, own: Sequence[Difference], styles: Mapping[str, Style]) -> None:
    axes = figure.subplots()
    low, high = min(0.0, *(entry.low for entry in own)), max(0.0, *(entry.high for entry in own))
    axes.set_xlim(low - 0.05 * (high - low), high + 0.05 * (high - low))
    axes.axvline(0, color=INK, linewidth=1)
    places, place, group = [], -1, ""
    for entry in own:
        place += 1 + (entry.group != group)
        if entry.group != group:
            group = entry.group
            heading = axes.annotate(
                group, (0, place - 1), xycoords=("figure fraction", "data"), xytext=(4, 0), textcoords="offset points",
                color=INK, fontsize=SMALL, fontweight="bold", verticalalignment="center", annotation_clip=False,
                parse_math=False,
            )  # fmt: skip
            heading.set_in_layout(False)
        _row(axes, place, entry, styles)
        places.append(place)
    axes.set_ylim(place + 0.7, -0.6)
    axes.set_yticks(places, [fitting(entry.name) for entry in own])
    for label in axes.get_yticklabels():
        label.set_parse_math(False)
    axes.set_xlabel("percent: lower loss ← 0 → higher loss")
    dress(axes, "x")
    axes.tick_params(axis="y", labelsize=SMALL)


def _row(axes: Axes, place: float, entry: Difference, styles: Mapping[str, Style]) -> None:
    """Draw a difference: interval and mean in the style of the method that labels the row, and both as text."""
    style = styles[entry.name] if entry.name in styles else styles[entry.method]
    axes.plot([entry.low, entry.high], [place, place], color=style.hex, linewidth=1.8)
    axes.plot([entry.mean], [place], color=style.hex, marker=style.marker, markersize=6.5,
              markerfacecolor=style.hex if entry.shown else PAPER, markeredgewidth=1.5)  # fmt: skip
    axes.text(1.02, place, entry.said, color=INK, fontsize=SMALL - 1, transform=axes.get_yaxis_transform(),
              verticalalignment="center", fontweight="bold" if entry.shown else "normal")  # fmt: skip
