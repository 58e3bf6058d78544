"""The differences that the verdicts rest on, with their intervals, as a forest plot."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from matplotlib.figure import Figure

from qweft.comparison.report.axes import SMALL, dress
from qweft.comparison.report.looks import INK, PAPER, Look, fitting
from qweft.comparison.report.plate import Notes, Plate
from qweft.comparison.verdicts import Finding


class Difference(NamedTuple):
    """One paired difference of held-out losses in percent, with its interval."""

    method: str
    other: str
    topic: str
    mean: float
    low: float
    high: float


def differences(findings: Sequence[Finding]) -> list[Difference]:
    """The findings that have an interval, each pair of methods once.

    Args:
        findings: From `findings`.
    """
    found: dict[tuple[str, str], Difference] = {}
    for finding in findings:
        mean, interval = getattr(finding, "difference", None), getattr(finding, "interval", None)
        if mean is not None and interval is not None and None not in interval:
            pair = (finding.method, finding.other)
            found.setdefault(pair, Difference(*pair, finding.topic, float(mean), *map(float, interval)))
    return list(found.values())


def forest_plate(
    findings: Sequence[Finding], look: Mapping[str, Look], beside: Sequence[Sequence[Finding]]
) -> Plate | None:
    """The figure, or none where no finding has an interval.

    Args:
        findings: Of this comparison.
        look: Of each method.
        beside: The findings of all comparisons on the page, which share their scales.
    """
    own = differences(findings)
    if not own:
        return None
    every = [*own, *(entry for other in beside for entry in differences(other))]
    told = "; ".join(
        f"{d.method} against {d.other} {d.mean:+.2f} percent, from {d.low:+.2f} to {d.high:+.2f}" for d in own
    )
    return Plate(
        "differences",
        "Differences in held-out loss",
        "In percent of the other method's loss, with intervals. Filled: the interval leaves out zero.",
        f"{told}.",
        1.15 + 0.46 * len(own),
        lambda figure: _draw(figure, own, every, look),
    )


def _draw(figure: Figure, own: Sequence[Difference], every: Sequence[Difference], look: Mapping[str, Look]) -> Notes:
    axes = figure.subplots()
    notes: Notes = {}
    axes.axvline(0, color=INK, linewidth=1)
    for number, entry in enumerate(own):
        style = look[entry.method]
        shown = entry.low > 0 or entry.high < 0
        axes.plot([entry.low, entry.high], [number, number], color=style.hex, linewidth=2)
        (drawn,) = axes.plot([entry.mean], [number], color=style.hex, marker=style.marker, markersize=8,
                             markerfacecolor=style.hex if shown else PAPER, markeredgewidth=1.6)  # fmt: skip
        drawn.set_gid(f"difference-{number}")
        notes[f"difference-{number}"] = f"{entry.method} against {entry.other}: {_said(entry)}"
        axes.text(1.02, number, _said(entry), color=INK, fontsize=SMALL - 0.5,
                  transform=axes.get_yaxis_transform(), verticalalignment="center")  # fmt: skip
    low, high = min(0.0, *(entry.low for entry in every)), max(0.0, *(entry.high for entry in every))
    axes.set_xlim(low - 0.08 * (high - low), high + 0.08 * (high - low))
    axes.set_ylim(len(own) - 0.5, -0.5)
    axes.set_yticks(range(len(own)), [f"{fitting(entry.method)}\nagainst {fitting(entry.other)}" for entry in own])
    for label in axes.get_yticklabels():
        label.set_parse_math(False)
    axes.set_xlabel("percent: lower loss ← 0 → higher loss")
    dress(axes, "x")
    axes.tick_params(axis="y", labelsize=SMALL)
    return notes


def _said(entry: Difference) -> str:
    """The difference with its interval below, with true minus signs."""
    return f"{entry.mean:+.2f}\n[{entry.low:+.2f}, {entry.high:+.2f}]".replace("-", "−")
