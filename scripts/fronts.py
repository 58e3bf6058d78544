"""The picture of the front: held-out loss against trained numbers and against bytes of the file."""

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter
from research import evidence
from scripts.picture import Numbers

from qweft.comparison.report.figures import Point, front
from qweft.figures.figure import SMALL
from qweft.figures.styles import COLOURS, INK

BLUE, ORANGE, GREEN, PINK, OLIVE, SKY = COLOURS
CIRCUIT, FAMILY, LORA, OTHER = "with a circuit", "ours without a circuit", "LoRA", "other methods of PEFT"
KINDS = {LORA: (GREEN, "s"), OTHER: (OLIVE, "^"), FAMILY: (BLUE, "o"), CIRCUIT: (ORANGE, "D")}
LINES = {
    "LoRA on v": ("lora_v_2", "lora_v_6", "lora_v"),
    "LoRA on q, v": ("lora_r1", "lora_r4", "lora_8"),
    "LoRA on all": ("lora_all",),
    "LoRA on down": ("lora_down", "lora_down_7"),
    "subspace": ("subspace_8", "subspace_32", "subspace_128"),
    "subspace on all": ("subspace_all", "subspace_r8"),
    "basis": ("basis_4", "basis_16"),
    "readout": ("readout_v", "readout"),
    "sparse": ("sparse_02", "sparse_04", "sparse_08", "sparse_16", "sparse_32", "sparse_100"),
    "qtha": ("qtha_small", "qtha"),
    "no circuit": ("mpo", "qtha"),
    "UniLoRA": ("unilora_1k", "unilora_1440", "unilora_4800", "unilora_8k", "unilora_28800", "unilora_64k"),
    "TinyLoRA": ("tinylora_9",),
    "BEFT": ("beft",),
    "WaveFT": ("waveft_256",),
    "MiSS": ("miss_mini", "miss", "miss_3"),
    "IA3": ("ia3",),
    "VeRA": ("vera",),
}
"""Methods of one kind by size, joined by a line; the control `mpo` is joined to its hybrid."""
Place = tuple[float, float, str]
LEFT, RIGHT = (-6, 0, "right"), (6, 0, "left")
BELOW = (0, -9, "center")
PLACES = {
    "LoRA on v": (RIGHT, RIGHT),
    "LoRA on q, v": ((6, 5, "left"), (0, 8, "center")),
    "LoRA on all": ((-6, -6, "right"), (6, -7, "left")),
    "LoRA on down": ((5, -6, "left"), (-6, -3, "right")),
    "subspace": ((4, -9, "right"), RIGHT),
    "subspace on all": ((-10, -24, "right"), BELOW),
    "basis": (LEFT, (-4, 7, "right")),
    "readout": ((6, 6, "left"), (0, 25, "center")),
    "sparse": ((0, -9, "right"), RIGHT),
    "qtha": (RIGHT, RIGHT),
    "no circuit": ((6, 5, "left"), (-5, -8, "right")),
    "UniLoRA": ((6, 6, "left"), (6, 6, "left")),
    "TinyLoRA": (RIGHT, LEFT),
    "BEFT": (RIGHT, RIGHT),
    "WaveFT": (RIGHT, (5, 6, "left")),
    "MiSS": ((6, -5, "left"), RIGHT),
    "IA3": (RIGHT, LEFT),
    "VeRA": ((0, -11, "center"), LEFT),
}
"""Where a line's name stands beside its smallest method, by panel: offset in points, and the side of the text."""
SENTENCES = PLACES | {
    "LoRA on q, v": ((2, 15, "left"), (-6, -6, "right")),
    "subspace on all": ((-10, -22, "right"), BELOW),
    "LoRA on all": ((-5, -11, "right"), (6, -7, "left")),
    "LoRA on down": ((6, 5, "left"), (-5, 5, "right")),
    "readout": ((6, -6, "left"), RIGHT),
    "WaveFT": ((0, -9, "center"), LEFT),
    "MiSS": ((0, 9, "center"), (4, 7, "left")),
    "BEFT": ((6, 3, "left"), LEFT),
    "IA3": ((13, 1, "left"), LEFT),
    "VeRA": (LEFT, LEFT),
}
"""The same for the sentences that are put in order."""


def _kind(method: str) -> str:
    if method.startswith("qtha"):
        return CIRCUIT
    if method.startswith(("subspace", "basis", "readout", "sparse", "mpo")):
        return FAMILY
    return LORA if method.startswith("lora") else OTHER


def read_front(*names: str) -> Numbers:
    """Each method's trained numbers, bytes of its file, mean held-out loss, and the lowest and highest of its seeds.

    Args:
        names: Results of research/data on the same rows. A method that ran in several is read from the first.
    """
    runs: dict[str, list[Any]] = {}
    for name in names:
        own_runs: dict[str, list[Any]] = {}
        for run in evidence.read(name)["runs"]:
            if run["method"] not in ("base", *runs) and run["eval_loss"] is not None:
                own_runs.setdefault(run["method"], []).append(run)
        runs |= own_runs
    return {
        method: [
            own[0]["trainable_parameters"], own[0]["adapter_bytes"],
            *(how([run["eval_loss"] for run in own]) for how in (lambda all_: sum(all_) / len(all_), min, max)),
        ]
        for method, own in runs.items()
    }  # fmt: skip


def draw_front(figure: Figure, numbers: Numbers, places: Mapping[str, tuple[Place, Place]] = PLACES) -> None:
    """Draws a panel for each cost: a mark for each method, lines by kind, and the front as a dotted step.

    Args:
        figure: The figure.
        numbers: As `read_front`.
        places: As `PLACES`, for these numbers.
    """
    panels = figure.subplots(2, 1, sharey=True)
    for column, (axes, title) in enumerate(zip(panels, ("trained numbers", "bytes of the file"), strict=True)):
        axes.set_xscale("log")
        for methods in LINES.values():
            there = [numbers[method] for method in methods]
            colour, _ = KINDS[_kind(methods[0])]
            axes.plot([row[column] for row in there], [row[2] for row in there], color=colour, linewidth=1, alpha=0.45)
        for method, row in numbers.items():
            colour, marker = KINDS[_kind(method)]
            axes.plot([row[column]] * 2, row[3:], color=colour, linewidth=1.4, alpha=0.6)
            axes.plot([row[column]], [row[2]], color=colour, marker=marker, markersize=5.5, markeredgewidth=0)
        best = front([Point(method, row[column], row[2], ()) for method, row in numbers.items()])
        low, high = min(row[column] for row in numbers.values()), max(row[column] for row in numbers.values())
        axes.set_xlim(low / 2, high * 2.2)
        axes.step(
            [point.size for point in best] + [high * 2.2], [point.loss for point in best] + [best[-1].loss],
            where="post", color=INK, linewidth=1.1, linestyle=(0, (1, 2)), alpha=0.8, zorder=1,
        )  # fmt: skip
        for name, methods in LINES.items():
            dx, dy, side = places[name][column]
            row = numbers[methods[0]]
            axes.annotate(
                name, (row[column], row[2]), xytext=(dx, dy), textcoords="offset points", color=INK, fontsize=SMALL - 2,
                horizontalalignment=side, verticalalignment="center",
            )  # fmt: skip
        axes.xaxis.set_major_locator(LogLocator(subs=(1,)))
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_title(f"held-out loss by {title}", fontsize=SMALL, color=INK, loc="left")
        axes.grid()
    for kind, (colour, marker) in KINDS.items():
        panels[0].plot([], [], color=colour, marker=marker, markersize=6, linestyle="", label=kind)
    figure.legend(
        loc="outside upper center", ncols=2, frameon=False, fontsize=SMALL - 0.5, labelcolor=INK, handletextpad=0.2,
    )  # fmt: skip
