"""Pictures of comparisons: forests of differences with their intervals, and learning curves."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase
from research import evidence
from scripts.picture import Numbers

from qweft.comparison.judge.statistics import SINGLE_ANALYSIS, InterimAnalysis
from qweft.comparison.judge.summarise import summarise
from qweft.comparison.judge.summary import compare_methods
from qweft.comparison.report.wording import ANSWERS
from qweft.comparison.results import Run
from qweft.figures.figure import SMALL
from qweft.figures.styles import COLOURS, INK

BLUE, ORANGE, GREEN, PINK, OLIVE, SKY = COLOURS

# Forests: differences in held-out loss with their 95% intervals.

SHOWN, OPEN = "shown", "not shown"
EXPERIMENTS = {
    "A": ("decide", "mpo", 0.5),
    "B": ("long-60", "lora", 0.5),
    "C": ("experiment-dialogue", "lora", None),
    "D": ("experiment-second-model", "lora", None),
    "F": ("front-dialogue", "lora_r1", 1.0),
}
"""The experiments of docs/results.md: raw results, reference and margin. E, of wide intervals, is left out."""
AGAINST = {
    "no circuit": {"A": "mpo", "B": "mpo", "C": "mpo", "D": "mpo", "F": "mpo"},
    "a perceptron in its place": {"A": "mlp_linear", "C": "mlp_linear", "D": "mlp_linear"},
    "no entanglement": {"A": "product_linear", "C": "product_linear", "D": "product_linear"},
    "LoRA of its size": {"B": "lora_1", "C": "lora_small", "D": "lora_small", "F": "lora_r1"},
}
BAND = 0.5
"""Half the width of the band of equivalence, in percent."""


def summary(
    name: str,
    reference: str = "lora",
    margin: float | None = None,
    analyses: Sequence[InterimAnalysis] = (SINGLE_ANALYSIS,),
) -> dict[str, Any]:
    """Returns the outcome of each method of a comparison."""
    runs = [Run.from_json(entry) for entry in evidence.read(name)["runs"]]
    return summarise(runs, reference, margin, analyses)


def _difference(method: Any, other: Any) -> list[Any]:
    found = compare_methods(method, other)
    assert found.mean is not None and found.interval is not None
    return [SHOWN if found.direction in ("lower", "higher") else OPEN, found.mean, *found.interval]


def read_results() -> Numbers:
    """`qtha` against its controls and LoRA of its size in each experiment, in percent of the held-out loss."""
    analyses = [
        InterimAnalysis(level=0.025, seeds=tuple(range(6 * number)), number=number, planned=2) for number in (1, 2)
    ]
    outcomes = {
        place: summary(name, reference, margin, analyses if name == "decide" else (SINGLE_ANALYSIS,))
        for place, (name, reference, margin) in EXPERIMENTS.items()
    }
    found: Numbers = {}
    for title, others in AGAINST.items():
        found[title] = {}
        for place, other in others.items():
            found[title][place] = _difference(outcomes[place]["qtha"], outcomes[place][other])
    return found


def draw_forest(figure: FigureBase, numbers: Numbers, band: float | None = None) -> Axes:
    """Draws one row a difference, in groups; filled where it is shown."""
    axes: Axes = figure.subplots()
    axes.axvline(0, color=INK, linewidth=1)
    if band:
        axes.axvspan(-band, band, color=SKY, alpha=0.25, linewidth=0)
    place = -1.0
    places: list[float] = []
    names: list[str] = []
    for title, rows in numbers.items():
        place += 1.25 if places else 1
        axes.annotate(
            title, (0, place), xycoords=("subfigure fraction", "data"), xytext=(4, 0), textcoords="offset points",
            color=INK, fontsize=SMALL, fontweight="bold", verticalalignment="center", annotation_clip=False,
        ).set_in_layout(False)  # fmt: skip
        for said, (kind, mean, low, high) in rows.items():
            place += 1
            axes.plot([low, high], [place, place], color=BLUE, linewidth=2, solid_capstyle="butt")
            axes.plot(
                [mean], [place], marker="o", markersize=6.5, color=BLUE, markeredgewidth=1.5,
                markerfacecolor=BLUE if kind == SHOWN else "#FDFEFE",
            )  # fmt: skip
            places.append(place)
            names.append(said)
    axes.set_ylim(place + 0.7, -0.7)
    axes.set_yticks(places, names)
    axes.grid(axis="x")
    return axes


def draw_results(figure: Figure, numbers: Numbers) -> None:
    """Draws `qtha` against each other in two columns of one scale, with the band of equivalence."""
    titles = list(numbers)
    columns = [{title: numbers[title] for title in half} for half in (titles[:2], titles[2:])]
    parts: Any = figure.subfigures(1, 2)
    drawn = [draw_forest(part, half, BAND) for part, half in zip(parts, columns, strict=True)]
    ends = [end for axes in drawn for end in axes.get_xlim()]
    for axes in drawn:
        axes.set_xlim(min(ends), max(ends))
        axes.set_xticks([-1, 0, 1, 2])
    figure.supxlabel("held-out loss of QTHA against each, in percent: better ← 0 → worse", color=INK, fontsize=SMALL)


# The positive control: the answer over the dose of what was planted.

TEACHERS = {"quantum_gated": "a circuit is planted", "mlp_gated": "a perceptron is planted"}
CONTROLS = {
    "none": ("nothing", OLIVE, "s"),
    "mlp": ("perceptron", BLUE, "o"),
    "fourier": ("Fourier", GREEN, "D"),
    "product": ("no entanglement", PINK, "v"),
}
ANSWER = "answer"


def read_detection() -> Numbers:
    """The circuit's held-out loss against each control, in percent, and the answer, by teacher and dose."""
    found: Numbers = {said: {name: [] for name in (*CONTROLS, ANSWER)} for said in TEACHERS.values()}
    for cell in evidence.read("positive-control")["cells"]:
        core, dose = cell["teacher"]["core"], cell["teacher"]["dose"]
        for entry in cell["answers"]:
            if entry["other"]:
                shown = SHOWN if entry["smaller"] or entry["direction"] in ("lower", "higher") else OPEN
                found[TEACHERS[core]][entry["other"]].append([dose, entry["percent"], *entry["interval"], shown])
            else:
                found[TEACHERS[core]][ANSWER].append([dose, ANSWERS[entry["direction"]]])
    return found


def draw_detection(figure: Figure, numbers: Numbers) -> None:
    """Draws a panel for each teacher: a line for each control, the band of equivalence, and the answers above."""
    panels = figure.subplots(1, len(numbers), sharey=True)
    for axes, (title, controls) in zip(panels, numbers.items(), strict=True):
        axes.axhline(0, color=INK, linewidth=1)
        axes.axhspan(-BAND, BAND, color=SKY, alpha=0.25, linewidth=0)
        for dose, answer in controls[ANSWER]:
            axes.annotate(
                answer.replace("equivalent", "≈"), (dose, 1), xycoords=("data", "axes fraction"), xytext=(0, -3),
                textcoords="offset points", ha="center", va="top", color=INK, fontsize=SMALL,
                fontweight="bold" if answer == "yes" else "normal",
            )  # fmt: skip
        for place, (name, (said, colour, marker)) in enumerate(CONTROLS.items()):
            doses, means, lows, highs, shown = zip(*sorted(controls[name]), strict=True)
            apart = [dose + 0.012 * (place - 1.5) for dose in doses]
            axes.errorbar(
                apart, means, [[m - low for m, low in zip(means, lows, strict=True)],
                               [high - m for m, high in zip(means, highs, strict=True)]],
                color=colour, linewidth=1.6, capsize=3,
            )  # fmt: skip
            for dose, mean, kind in zip(apart, means, shown, strict=True):
                axes.plot(
                    [dose], [mean], color=colour, marker=marker, markersize=5.5, markeredgewidth=1.4,
                    markerfacecolor=colour if kind == SHOWN else "#FDFEFE",
                )  # fmt: skip
            axes.plot([], [], color=colour, marker=marker, markersize=5, linewidth=1.6, label=said)
        axes.set_xticks([0, 0.25, 0.5, 1], ["0", "0.25", "0.5", "1"])
        axes.set_xlim(-0.08, 1.08)
        axes.set_ylim(-4, 2.9)
        axes.set_title(title, fontsize=SMALL, color=INK, loc="left")
        axes.grid(axis="y")
    panels[0].set_ylabel("loss against the control, %")
    figure.supxlabel("dose", color=INK, fontsize=SMALL)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside upper center", ncols=4, columnspacing=0.9, handlelength=1.2, handletextpad=0.4,
        frameon=False, fontsize=SMALL, labelcolor=INK,
    )  # fmt: skip
