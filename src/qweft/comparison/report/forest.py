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


class Row(NamedTuple):
    """A paired difference with an interval, below its heading and with the name of the other method."""

    heading: str
    name: str
    verdict: Verdict

    @property
    def ends(self) -> tuple[float, float]:
        """Both ends of the interval."""
        return self.verdict.pairing.interval or (0.0, 0.0)

    @property
    def said(self) -> str:
        """The difference with its interval as text, with true minus signs."""
        digits = 2 if max(map(abs, self.ends)) < 10 else 1
        mean, low, high = (f"{value:+z.{digits}f}" for value in (self.verdict.pairing.mean or 0.0, *self.ends))
        return f"{mean} [{low}, {high}]".replace("-", "−")


def rows(findings: Sequence[Verdict], of_hybrids: bool) -> list[Row]:
    """Return the findings that have an interval, each pair of methods once, grouped by heading."""
    found: dict[tuple[str, str], Row] = {}
    for each in findings:
        if each.topic != "claim" and (each.topic != "other") == of_hybrids and each.pairing.interval:
            heading = f"{fitting(each.method)} against" if of_hybrids else f"against {fitting(each.other)}"
            row = Row(heading, each.other if of_hybrids else each.method, each)
            found.setdefault((each.method, each.other), row)
    headings = list(dict.fromkeys(row.heading for row in found.values()))
    return sorted(found.values(), key=lambda row: headings.index(row.heading))


def forest_figure(findings: Sequence[Verdict], of_hybrids: bool, styles: Mapping[str, Style]) -> ReportFigure | None:
    """Return the figure of the methods with a circuit, or of the others; `None` if no finding has an interval."""
    own = rows(findings, of_hybrids)
    if not own:
        return None
    kind, against = ("Methods with a circuit", "others") if of_hybrids else ("Other methods", "the reference")
    return ReportFigure(
        "differences" if of_hybrids else "differences_others",
        f"{kind}, held against {against}",
        "Difference in held-out loss, in percent of the other method's, with its 95% interval. Filled: decided.",
        "; ".join(f"{row.verdict.method} against {row.verdict.other} {row.said} percent" for row in own),
        0.75 + ROW * (len(own) + len({row.heading for row in own})),
        lambda figure: _draw(figure, own, styles),
    )


def _draw(figure: Figure, own: Sequence[Row], styles: Mapping[str, Style]) -> None:
    axes = figure.subplots()
    low, high = min(0.0, *(min(row.ends) for row in own)), max(0.0, *(max(row.ends) for row in own))
    axes.set_xlim(low - 0.05 * (high - low), high + 0.05 * (high - low))
    axes.axvline(0, color=INK, linewidth=1)
    places, place, heading = [], -1, ""
    for row in own:
        place += 1 + (row.heading != heading)
        if row.heading != heading:
            heading = row.heading
            text = axes.annotate(
                heading, (0, place - 1), xycoords=("figure fraction", "data"), xytext=(4, 0), color=INK,
                textcoords="offset points", fontsize=SMALL, fontweight="bold", verticalalignment="center",
                annotation_clip=False, parse_math=False,
            )  # fmt: skip
            text.set_in_layout(False)
        _row(axes, place, row, styles.get(row.name, styles[row.verdict.method]))
        places.append(place)
    axes.set_ylim(place + 0.7, -0.6)
    axes.set_yticks(places, [fitting(row.name) for row in own])
    for label in axes.get_yticklabels():
        label.set_parse_math(False)
    axes.set_xlabel("percent: lower loss ← 0 → higher loss")
    dress(axes, "x")
    axes.tick_params(axis="y", labelsize=SMALL)


def _row(axes: Axes, place: float, row: Row, style: Style) -> None:
    """Draw a difference: interval and mean in the style of the method that labels the row, and both as text."""
    shown = row.verdict.pairing.direction in ("lower", "higher")
    axes.plot(row.ends, [place, place], color=style.hex, linewidth=1.8)
    axes.plot([row.verdict.pairing.mean or 0.0], [place], color=style.hex, marker=style.marker, markersize=6.5,
              markerfacecolor=style.hex if shown else PAPER, markeredgewidth=1.5)  # fmt: skip
    axes.text(1.02, place, row.said, color=INK, fontsize=SMALL - 1, transform=axes.get_yaxis_transform(),
              verticalalignment="center", fontweight="bold" if shown else "normal")  # fmt: skip
