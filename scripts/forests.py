"""Pictures of comparisons: forests of differences with their intervals, and learning curves."""

from typing import Any

from matplotlib.figure import Figure
from scripts.picture import Numbers, read_json

from qweft.comparison.results import Run
from qweft.comparison.statistics import paired
from qweft.comparison.summarise import summarise
from qweft.figures.figure import SMALL, dress
from qweft.figures.styles import COLOURS, DASHES, INK

BLUE, ORANGE, GREEN, PINK, OLIVE, SKY = COLOURS

# Forests: differences in held-out loss with their 95% intervals.

WITH, WITHOUT, LORA = "with a circuit", "without a circuit", "LoRA"
KINDS = {WITH: (ORANGE, "D"), WITHOUT: (BLUE, "o"), LORA: (GREEN, "s")}
METHODS = {
    "lora_small": ("LoRA, the hybrids' size", LORA),
    "qtha": ("QTHA", WITH),
    "product_linear": ("QTHA, no entanglement", WITH),
    "mlp_linear": ("QTHA, perceptron instead", WITHOUT),
    "mpo": ("QTHA, no circuit", WITHOUT),
    "qwthn": ("QWTHN", WITH),
}
EXPERIMENTS = {
    "Dialogues, SmolLM2-135M": "experiment-dialogue",
    "Dialogues, Qwen2.5-Coder-0.5B": "experiment-second-model",
    "Word problems, SmolLM2-135M": "experiment-reasoning",
}
RIVALS = {
    "Dialogues, SmolLM2-135M": ("research-again", {
        "lora_small": "LoRA r = 1, q and v", "lora_down": "LoRA r = 1, down_proj", "lora": "LoRA r = 8, q and v"}),
    "The same, LoRA at equal time": ("research-sparse", {"lora_down_same_time": "LoRA r = 1, down_proj"}),
    "Dialogues, Qwen2.5-Coder-0.5B": ("research-second-model", {
        "lora_small": "LoRA r = 2, q and v", "lora_down": "LoRA r = 1, down_proj", "lora": "LoRA r = 8, q and v"}),
    "Word problems, SmolLM2-135M": ("research-reasoning", {
        "lora_small": "LoRA r = 1, q and v", "lora_down": "LoRA r = 1, down_proj", "lora": "LoRA r = 8, q and v"}),
}  # fmt: skip


def summary(name: str) -> dict[str, Any]:
    """Returns the outcome of each method of a comparison."""
    return summarise([Run.from_json(entry) for entry in read_json(f"docs/results/{name}.json")["runs"]], "lora")


def _difference(method: Any, other: Any) -> list[float]:
    found = paired(method, other)
    assert found.mean is not None and found.interval is not None
    return [found.mean, *found.interval]


def read_results() -> Numbers:
    """Each method against LoRA of rank 4, in percent of its held-out loss."""
    found: Numbers = {}
    for title, name in EXPERIMENTS.items():
        outcomes = summary(name)
        found[title] = {
            said: [kind, *_difference(outcomes[method], outcomes["lora"])]
            for method, (said, kind) in METHODS.items()
            if method in outcomes
        }
    return found


def read_sparse() -> Numbers:
    """The preset `sparse` against LoRAs."""
    found: Numbers = {}
    for title, (name, rivals) in RIVALS.items():
        outcomes = summary(name)
        found[title] = {
            said: [LORA, *_difference(outcomes["sparse"], outcomes[other])] for other, said in rivals.items()
        }
    return found


def draw_forest(figure: Figure, numbers: Numbers, label: str, legend: bool) -> None:
    """Draws one row a difference, in groups; filled where the interval leaves out zero."""
    axes = figure.subplots()
    axes.axvline(0, color=INK, linewidth=1)
    place = -1.0
    places: list[float] = []
    names: list[str] = []
    for title, rows in numbers.items():
        place += 1.25 if places else 1
        axes.annotate(
            title, (0, place), xycoords=("figure fraction", "data"), xytext=(4, 0), textcoords="offset points",
            color=INK, fontsize=SMALL, fontweight="bold", verticalalignment="center", annotation_clip=False,
        ).set_in_layout(False)  # fmt: skip
        for said, (kind, mean, low, high) in rows.items():
            place += 1
            colour, marker = KINDS[kind] if legend else (BLUE, "o")
            axes.plot([low, high], [place, place], color=colour, linewidth=2, solid_capstyle="butt")
            axes.plot(
                [mean], [place], marker=marker, markersize=6.5, color=colour, markeredgewidth=1.5,
                markerfacecolor=colour if low > 0 or high < 0 else "#FDFEFE",
            )  # fmt: skip
            places.append(place)
            names.append(said)
    axes.set_ylim(place + 0.7, -0.7)
    axes.set_yticks(places, names)
    figure.supxlabel(label, color=INK, fontsize=SMALL)
    dress(axes, "x")
    if legend:
        for kind, (colour, marker) in KINDS.items():
            axes.plot([], [], color=colour, marker=marker, markersize=6, label=kind)
        figure.legend(loc="outside upper right", ncols=3, frameon=False, fontsize=SMALL, labelcolor=INK)


def draw_results(figure: Figure, numbers: Numbers) -> None:
    """Draws the recorded methods against LoRA."""
    draw_forest(figure, numbers, "held-out loss against LoRA of rank 4, in percent: better ← 0 → worse", True)


def draw_sparse(figure: Figure, numbers: Numbers) -> None:
    """Draws `sparse` against its rivals."""
    draw_forest(figure, numbers, "held-out loss of sparse against each, in percent: better ← 0 → worse", False)


# The positive control: the answer over the dose of what was planted.

TEACHERS = {"quantum_gated": "a circuit is planted", "mlp_gated": "a perceptron is planted"}
CONTROLS = {
    "none": ("nothing", OLIVE, "x"),
    "mlp": ("perceptron", BLUE, "o"),
    "fourier": ("Fourier", GREEN, "D"),
    "product": ("no entanglement", PINK, "v"),
}


def read_detection() -> Numbers:
    """The circuit's held-out loss against each control, in percent, by teacher and dose."""
    found: Numbers = {said: {name: [] for name in CONTROLS} for said in TEACHERS.values()}
    for cell in read_json("docs/results/positive-control.json")["cells"]:
        core, dose = cell["teacher"]["core"], cell["teacher"]["dose"]
        for entry in cell["answers"]:
            if entry["other"]:
                found[TEACHERS[core]][entry["other"]].append([dose, entry["percent"], *entry["interval"]])
    return found


def draw_detection(figure: Figure, numbers: Numbers) -> None:
    """Draws a panel for each teacher, a line for each control."""
    panels = figure.subplots(1, len(numbers), sharey=True)
    for axes, (title, controls) in zip(panels, numbers.items(), strict=True):
        axes.axhline(0, color=INK, linewidth=1)
        for place, (name, (said, colour, marker)) in enumerate(CONTROLS.items()):
            doses, means, lows, highs = zip(*sorted(controls[name]), strict=True)
            apart = [dose + 0.012 * (place - 1.5) for dose in doses]
            axes.errorbar(
                apart, means, [[m - low for m, low in zip(means, lows, strict=True)],
                               [high - m for m, high in zip(means, highs, strict=True)]],
                color=colour, marker=marker, markersize=5, linewidth=1.6, capsize=3, label=said,
            )  # fmt: skip
        axes.set_xticks([0, 0.25, 0.5, 1], ["0", "0.25", "0.5", "1"])
        axes.set_xlim(-0.08, 1.08)
        axes.set_title(title, fontsize=SMALL, color=INK, loc="left")
        dress(axes)
    panels[0].set_ylabel("loss against the control, %")
    figure.supxlabel("dose", color=INK, fontsize=SMALL)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside upper center", ncols=4, columnspacing=0.9, handlelength=1.2, handletextpad=0.4,
        frameon=False, fontsize=SMALL, labelcolor=INK,
    )  # fmt: skip


# Learning curves.

CURVES = {
    "lora": ("LoRA, r = 4", GREEN, 0),
    "lora_small": ("LoRA, r = 1", GREEN, 1),
    "qtha": ("QTHA", ORANGE, 0),
    "mpo": ("no circuit", BLUE, 0),
    "qwthn": ("QWTHN", PINK, 5),
}
WINDOW = 9
"""Steps over which a curve is averaged: a step has four rows, whose losses scatter more than methods do."""


def read_curves() -> Numbers:
    """Training loss by step, the mean over seeds, averaged over the steps around each."""
    by_method: dict[str, list[list[float]]] = {}
    for run in read_json("docs/results/experiment-dialogue.json")["runs"]:
        if run["method"] in CURVES:
            by_method.setdefault(run["method"], []).append([loss for _, loss in run["train_loss_curve"]])
    found: Numbers = {}
    for method, (said, _, _) in CURVES.items():
        steps = [sum(losses) / len(losses) for losses in zip(*by_method[method], strict=True)]
        half = WINDOW // 2
        found[said] = [sum(steps[at - half : at + half + 1]) / WINDOW for at in range(half, len(steps) - half)]
    return found


def draw_curves(figure: Figure, numbers: Numbers) -> None:
    """Draws the curves, named at their ends."""
    axes = figure.subplots()
    for said, colour, dash in CURVES.values():
        losses = numbers[said]
        first = WINDOW // 2 + 1
        axes.plot(
            range(first, first + len(losses)), losses, color=colour, linewidth=1.8, label=said,
            linestyle=(0, DASHES[dash]) if DASHES[dash] else "-",
        )  # fmt: skip
    axes.set_xlim(1, 60)
    axes.set_xticks([1, 10, 20, 30, 40, 50, 60])
    axes.set_xlabel("step")
    axes.set_ylabel("training loss, nats a token")
    dress(axes)
    axes.legend(frameon=False, fontsize=SMALL, labelcolor=INK, handlelength=3)
