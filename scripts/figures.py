"""The pictures of the documentation: `python -m scripts.figures` draws them all from the committed results.

Nothing is measured here. A picture is drawn anew after its results have changed; tests/test_figures.py tells which.
"""

import math
from functools import partial
from typing import Any

from matplotlib.figure import Figure
from research import evidence
from research.claim import draw_claim, read_claim
from scripts.forests import (
    draw_detection,
    draw_results,
    read_detection,
    read_results,
)  # fmt: skip
from scripts.fronts import SENTENCES, draw_front, read_front
from scripts.picture import FOLDER, ROOT, THEMES, Numbers, Picture, read_json

from qweft.core.files import write_bytes
from qweft.figures.figure import SMALL
from qweft.figures.styles import COLOURS, DASHES, INK

BLUE, ORANGE, GREEN, PINK, OLIVE, SKY = COLOURS


# An adapter on noise.

ADAPTERS = {"qtha": ("QTHA", ORANGE, "D"), "qwthn": ("QWTHN", PINK, "o")}
SCALES = [0.0, 0.01, 0.1, 1.0]
SCALE_NAMES = ["none", "1%", "10%", "full"]


def _points(name: str) -> list[Any]:
    return list(evidence.read(f"robustness-{name}")["points"])


def read_noise() -> Numbers:
    """What noise does without the chance of counting: the rise of the loss, and the tokens that stay the same."""
    return {
        name: [
            [each["setting"]["noise_scale"], each["rise"], each["rise_error"], 100 * each["agreement"]]
            for each in _points(name)
            if each["setting"]["shots"] is None
        ]
        for name in ADAPTERS
    }


def draw_noise(figure: Figure, numbers: Numbers) -> None:
    """Draws two panels over the strength of noise."""
    left, right = figure.subplots(1, 2)
    for name, (said, colour, marker) in ADAPTERS.items():
        places = [SCALES.index(scale) for scale, *_ in numbers[name]]
        rises, errors, kept = ([row[column] for row in numbers[name]] for column in (1, 2, 3))
        left.errorbar(places, rises, errors, color=colour, marker=marker, markersize=6, linewidth=1.8, capsize=3)
        right.plot(places, kept, color=colour, marker=marker, markersize=6, linewidth=1.8, label=said)
    left.axhline(0, color=INK, linewidth=1)
    left.set_title("rise of the loss, nats", fontsize=SMALL, color=INK, loc="left")
    right.set_title("next tokens unchanged, %", fontsize=SMALL, color=INK, loc="left")
    right.set_ylim(50, 102)
    for axes in (left, right):
        axes.set_xticks(range(4), SCALE_NAMES)
        axes.set_xlim(-0.3, 3.3)
        axes.grid(axis="y")
    figure.supxlabel("strength of the paper's noise model", color=INK, fontsize=SMALL)
    right.legend(frameon=False, fontsize=SMALL, labelcolor=INK, loc="lower left")


# Speed.

PACKAGES = {
    "pennylane_jax": ("PennyLane, JAX", BLUE, "o"), "pennylane_torch": ("PennyLane, PyTorch", BLUE, "s"),
    "pennylane_lightning": ("PennyLane Lightning", BLUE, "^"),
    "tensorcircuit_jax": ("TensorCircuit-NG, JAX", ORANGE, "o"),
    "tensorcircuit_torch": ("TensorCircuit-NG, PyTorch", ORANGE, "s"), "torchquantum": ("TorchQuantum", GREEN, "D"),
    "deepquantum": ("DeepQuantum", PINK, "D"), "pyqtorch": ("PyQTorch", OLIVE, "D"), "torq": ("TorQ", GREEN, "o"),
    "fastqml": ("fastQML", PINK, "o"), "qandle": ("QANDLE", OLIVE, "o"), "flagquantum": ("FlagQuantum", GREEN, "s"),
}  # fmt: skip
SHAPES = {
    f"{prefix}n{n}_L{n}_T512": f"{name}, {n} qubits"
    for prefix, name in (("", "recorded"), ("he_", "RY, RZ, CNOT"))
    for n in (4, 6, 8, 10)
}


def read_speed() -> Numbers:
    """Each package's time as a multiple of Qweft's; and Qweft's against PEFT's LoRA."""
    full, found = read_json("benchmarks/results/full.json"), read_json("benchmarks/results/summary.json")
    shapes = full["circuit"]["shapes"]
    return {
        "circuit": {
            said: {name: shapes[shape]["speedup"].get(name, math.nan) for name in PACKAGES}
            for shape, said in SHAPES.items()
        },
        "against LoRA": {
            "training step, r = 4": found["step"]["r4_L4"]["vs_lora"],
            "training step, r = 8": found["step"]["r8_L8"]["vs_lora"],
            "a generated token, r = 4": 1 / found["generation"]["r4_L4_rows1"]["vs_lora"],
        },
    }


def draw_speed(figure: Figure, numbers: Numbers) -> None:
    """Draws the packages over a logarithmic axis, and three bars for LoRA."""
    upper, lower = figure.subplots(2, 1, height_ratios=(2.3, 1))
    for package, (said, colour, marker) in PACKAGES.items():
        times = [row[package] for row in numbers["circuit"].values()]
        upper.plot(times, range(len(times)), linestyle="", color=colour, marker=marker, markersize=6, label=said)
    upper.set_xscale("log")
    upper.axvline(1, color=INK, linewidth=1.5)
    upper.set_xlim(0.8, 30_000)
    upper.set_xticks([1, 10, 100, 1000, 10000], ["1", "10", "100", "1,000", "10,000"])
    upper.set_yticks(range(len(SHAPES)), list(numbers["circuit"]))
    upper.set_ylim(len(SHAPES) - 0.5, -0.5)
    upper.set_xlabel("time of the circuit, Qweft = 1")
    upper.grid(axis="x")
    rows = numbers["against LoRA"]
    lower.barh(range(len(rows)), list(rows.values()), color=ORANGE, height=0.55)
    for place, value in enumerate(rows.values()):
        lower.text(value + 0.02, place, f"{value:.2f}", color=INK, fontsize=SMALL, verticalalignment="center")
    lower.axvline(1, color=INK, linewidth=1.5)
    lower.set_xlim(0, 1.5)
    lower.set_xticks([0, 0.5, 1, 1.5], ["0", "0.5", "1", "1.5"])
    lower.set_yticks(range(len(rows)), list(rows))
    lower.set_ylim(len(rows) - 0.5, -0.5)
    lower.set_xlabel("time of QTHA, LoRA of its rank = 1")
    lower.grid(axis="x")
    figure.legend(loc="outside upper right", ncols=2, frameon=False, fontsize=SMALL, labelcolor=INK)


# A sweep's trials, the coverage of intervals, and vanishing gradients.


CHANCES = {
    "normal": (BLUE, "o"),
    "heavy tails": (GREEN, "^"),
    "skewed in both": (OLIVE, "s"),
    "skewed in one": (ORANGE, "D"),
}
SOURCES = {"seeds": "seeds", "seeds and rows": "seeds and rows", "rows": "test rows", "rows by seed": "rows by seed"}


def read_coverage() -> Numbers:
    """How often the interval holds the truth, by where the chance comes from; 48 test rows, 3 seeds."""
    rows = read_json("benchmarks/results/coverage.json")["coverage"]["rows"]
    return {
        row["chance"]: [float(row[source][0]) for source in SOURCES]
        for row in rows
        if row["number of seeds"] == 3 and row["test rows"] == 48
    }


def draw_coverage(figure: Figure, numbers: Numbers) -> None:
    """Draws one row a source of chance."""
    axes = figure.subplots()
    axes.axvline(95, color=INK, linewidth=1)
    for chance, (colour, marker) in CHANCES.items():
        axes.plot(numbers[chance], range(len(SOURCES)), linestyle="", color=colour, marker=marker, label=chance)
    axes.set_yticks(range(len(SOURCES)), list(SOURCES.values()))
    axes.set_ylim(len(SOURCES) - 0.5, -0.5)
    axes.set_xlim(86, 100)
    axes.set_xticks([86, 88, 90, 92, 94, 96, 98, 100])
    axes.set_xlabel("intervals that hold the truth, percent")
    axes.grid(axis="x")
    figure.legend(
        loc="outside upper right", ncols=4, frameon=False, fontsize=SMALL - 1, labelcolor=INK, handletextpad=0
    )


DEPTHS = {
    ("recorded", "2"): ("recorded start, 2 layers", ORANGE, 1), ("recorded", "n"): ("recorded, n layers", ORANGE, 0),
    ("scaled", "2"): ("scaled start, 2 layers", BLUE, 1), ("scaled", "n"): ("scaled, n layers", BLUE, 0),
}  # fmt: skip


def read_plateaus() -> Numbers:
    """The variance of the first rotation's gradient by number of qubits."""
    rows = read_json("benchmarks/results/plateaus.json")["variances"]
    return {
        said: [[row["qubits"], float(row["first_rotation"])] for row in rows if (row["start"], row["layers"]) == key]
        for key, (said, _, _) in DEPTHS.items()
    }


def draw_plateaus(figure: Figure, numbers: Numbers) -> None:
    """Draws one line a start and depth."""
    axes = figure.subplots()
    for said, colour, dash in DEPTHS.values():
        axes.plot(
            *zip(*numbers[said], strict=True), color=colour, linewidth=1.8, label=said,
            linestyle=(0, DASHES[dash]) if DASHES[dash] else "-",
        )  # fmt: skip
    axes.set_yscale("log")
    axes.set_ylim(0.003, 1)
    axes.set_yticks([0.01, 0.1, 1], ["0.01", "0.1", "1"])
    axes.minorticks_off()
    axes.set_xticks([2, 4, 6, 8, 10])
    axes.set_xlabel("qubits")
    axes.set_ylabel("variance of the gradient")
    axes.grid(axis="y")
    figure.legend(loc="outside upper right", ncols=2, frameon=False, fontsize=SMALL, labelcolor=INK, handlelength=3)


GROWING = ("qubits", "layers", "tokens (step", "rank", "blocks", "hidden")
"""Beginnings of the names of the series that are drawn."""


def read_growth() -> Numbers:
    """Time and peak memory of each series, relative to its first size."""
    series = read_json("benchmarks/results/growth.json")["series"]
    return {
        f"{name.partition(' (')[0]}, {one['of']}^{one['exponent']:.1f}": [
            [size / one["sizes"][0], time / one["milliseconds"][0], peak / one["peak_bytes"][0]]
            for size, time, peak in zip(one["sizes"], one["milliseconds"], one["peak_bytes"], strict=True)
        ]
        for name, one in series.items()
        if name.startswith(GROWING)
    }


def draw_growth(figure: Figure, numbers: Numbers) -> None:
    """Draws time and memory over sizes, all relative to the smallest."""
    panels = figure.subplots(1, 2)
    for axes, column, title in zip(panels, (1, 2), ("time", "peak memory"), strict=True):
        for (said, rows), colour in zip(numbers.items(), COLOURS, strict=True):
            sizes = [row[0] for row in rows]
            axes.plot(sizes, [row[column] for row in rows], color=colour, marker="o", markersize=4, label=said)
        axes.set_xscale("log", base=2)
        axes.set_yscale("log", base=2)
        axes.set_title(f"{title}, times that of the smallest", fontsize=SMALL, color=INK, loc="left")
        axes.grid(axis="y")
    figure.supxlabel("size, times the smallest", color=INK, fontsize=SMALL)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3, frameon=False, fontsize=SMALL, labelcolor=INK)


PICTURES = (
    Picture("claim", "Training loss by step, at one rate for all and at own rates", 3.0, read_claim, draw_claim),
    Picture("results", "Held-out loss of qtha against its controls and LoRA", 2.8, read_results, draw_results),
    Picture(
        "front",
        "Held-out loss against trained numbers and bytes",
        7.2,
        partial(read_front, "front-dialogue", "front-large-dialogue"),
        draw_front,
    ),
    Picture(
        "front-sentences",
        "Held-out loss on sentences to put in order, against trained numbers and bytes",
        7.2,
        partial(read_front, "front-sentences", "front-large-sentences"),
        partial(draw_front, places=SENTENCES),
    ),
    Picture("noise", "Loss and predictions of two adapters by strength of noise", 2.9, read_noise, draw_noise),
    Picture("speed", "Time of the circuit, of a training step and of generation", 5.2, read_speed, draw_speed),
    Picture("growth", "Time and memory by size, relative to the smallest", 3.6, read_growth, draw_growth),
    Picture("coverage", "How often the interval holds the truth", 2.3, read_coverage, draw_coverage),
    Picture("detection", "What the bench answers by dose of what was planted", 3.4, read_detection, draw_detection),
    Picture("plateaus", "Variance of a gradient by number of qubits", 2.9, read_plateaus, draw_plateaus),
)


def main() -> None:
    """Draws every picture anew."""
    FOLDER.mkdir(exist_ok=True)
    for picture in PICTURES:
        for theme in THEMES:
            write_bytes(picture.file(theme), picture.svg(theme).encode())
            print(picture.file(theme).relative_to(ROOT))


if __name__ == "__main__":
    main()
