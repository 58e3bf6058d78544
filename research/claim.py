"""The paper's claim, from the kept results: its tables and its picture in docs/results.md.

A difference is that of a method to LoRA of rank 4 at the same seed, in percent, with a 95% t-interval over the seeds.
"""

import math
from statistics import mean, stdev
from typing import Any

from matplotlib.figure import Figure

from qweft.comparison.judge.random_effects import quantile
from qweft.figures.figure import SMALL
from qweft.figures.styles import COLOURS, DASHES, INK
from research.evidence import read

Runs = dict[str, dict[int, Any]]
Numbers = dict[str, Any]
WINDOW = 11
"""Steps in the moving mean of a curve: a step has four rows only."""
WORDS = {
    "lora": "LoRA, rank 4",
    "lora_1": "LoRA, rank 1",
    "qtha": "`qtha`",
    "qtha_256": "`qtha` at the record's size",
    "mpo": "`mpo`: no circuit",
    "mpo_256": "`mpo` at the record's size",
    "perceptron": "a perceptron in the circuit's place",
    "constant": "a constant in the circuit's place",
    "qwthn": "`qwthn`",
    "qtha_small": "`qtha`, start `small`",
    "qtha_scaled": "`qtha`, start `scaled`",
    "qtha_unit": "`qtha`, cores of sqrt(1 / (B i))",
    "qtha_balanced": "`qtha`, E starts as the transpose of a C",
}
STARTS = {
    "recorded": "qtha",
    "balanced": "qtha_balanced",
    "unit": "qtha_unit",
    "scaled": "qtha_scaled",
    "small": "qtha_small",
}
"""Starts of `starts-low` and the methods of `claim-own-rates` that have them."""
LENGTHS = (("long-60-recorded", "long-60"), ("long-250-recorded", "long-250"), ("thousand-recorded", "thousand"))
"""Dialogues with the recorded start and with the small one, after 60, 250 and 1,000 steps."""
PANELS = {"claim": "one rate for all, 5e-5", "claim-own-rates": "each at its own rate"}
CURVES = {
    "lora": ("LoRA, rank 4", 0),
    "qtha": ("qtha, small", 1),
    "qtha_256": ("qtha, as on record", 3),
    "mpo": ("qtha, no circuit", 2),
}


def runs_of(name: str) -> Runs:
    """Return the runs of kept results by method and seed."""
    found: Runs = {}
    for run in read(name)["runs"]:
        if run["method"] != "base":
            found.setdefault(run["method"], {})[run["seed"]] = run
    return found


def difference(runs: Runs, method: str, reference: str, key: str) -> str:
    """Return the mean difference of two methods over their common seeds, with its interval."""
    seeds = sorted(set(runs[method]) & set(runs[reference]))
    values = [100 * (runs[method][seed][key] / runs[reference][seed][key] - 1) for seed in seeds]
    if len(values) < 3:
        return f"{mean(values):+.1f}"
    half = quantile(0.95, len(values) - 1) * stdev(values) / math.sqrt(len(values))
    return f"{mean(values):+.1f} [{mean(values) - half:+.1f}, {mean(values) + half:+.1f}]"


def rows(name: str) -> list[list[str]]:
    """Return the rows of a comparison's table."""
    runs, found = runs_of(name), []
    for method, by_seed in runs.items():
        if method in ("qtha_unit", "qtha_balanced"):  # tried, and not in the package
            continue
        one = next(iter(by_seed.values()))
        row = [WORDS[method], f"{one['trainable_parameters']:,}", f"{one['learning_rate']:g}"]
        for key in ("train_loss", "eval_loss"):
            row.append(f"{mean(run[key] for run in by_seed.values()):.3f}")
            row.append("" if method == "lora" else difference(runs, method, "lora", key))
        found.append(row)
    return found


def start_rows() -> list[list[str]]:
    """Return each start at 5e-5 (one seed) and at its own rate, against LoRA of rank 4 in test loss."""
    low, own = runs_of("starts-low"), runs_of("claim-own-rates")
    rows = []
    for start, method in STARTS.items():
        at_low = 100 * (low[start][0]["eval_loss"] / low["lora"][0]["eval_loss"] - 1)
        rate = next(iter(own[method].values()))["learning_rate"]
        rows.append([WORDS[method], f"{at_low:+.1f}", f"{rate:g}", difference(own, method, "lora", "eval_loss")])
    return rows


def length_rows() -> list[list[str]]:
    """Return by how much other starts end above the small one in test loss, in percent, on two texts."""
    lengths, words = [list(map(runs_of, pair)) for pair in LENGTHS], runs_of("starts")
    rows = []
    for method in ("qtha", "mpo", "qwthn"):
        pairs = [{"other": other.get(method, {}), "small": small.get(method, {})} for other, small in lengths]
        pairs += [{"other": words[name], "small": words[f"{method}_small"]} for name in (method, f"{method}_scaled")]
        cells = [difference(pair, "other", "small", "eval_loss") if pair["other"] else "-" for pair in pairs]
        rows.append([f"`{method}`", *cells])
    return rows


def circuit_rows() -> list[list[str]]:
    """Return what takes the circuit's place in `qtha` and what `qtha` then differs by, in percent."""
    runs, pairs = runs_of("claim"), (("qtha", "mpo"), ("qtha", "perceptron"), ("qtha", "constant"))
    rows = []
    for method, other in (*pairs, ("qtha_256", "mpo_256"), ("qwthn", "mpo")):
        losses = [difference(runs, method, other, key) for key in ("train_loss", "eval_loss")]
        rows.append([WORDS[method], WORDS[other], *losses])
    return rows


def _smoothed(by_seed: dict[int, Any]) -> list[float]:
    """Return the training loss by step: the mean over seeds, then over `WINDOW` steps."""
    curves = [[loss for _, loss in run["train_loss_curve"]] for run in by_seed.values()]
    steps = [mean(values) for values in zip(*curves, strict=True)]
    return [mean(steps[place : place + WINDOW]) for place in range(len(steps) - WINDOW + 1)]


def read_claim() -> Numbers:
    """Read the curves of both panels."""
    panels = {title: runs_of(name) for name, title in PANELS.items()}
    return {
        title: {method: _smoothed(runs[method]) for method in CURVES if method in runs}
        for title, runs in panels.items()
    }


def draw_claim(figure: Figure, numbers: Numbers) -> None:
    """Draw a panel for each comparison, with one scale."""
    panels = figure.subplots(1, len(numbers), sharey=True, squeeze=False)[0]
    for axes, (title, curves) in zip(panels, numbers.items(), strict=True):
        for method, losses in curves.items():
            words, place = CURVES[method]
            first = WINDOW // 2 + 1
            axes.plot(
                range(first, first + len(losses)),
                losses,
                color=INK if method == "lora" else COLOURS[place],
                linestyle=(0, DASHES[place]) if DASHES[place] else "-",
                linewidth=1.8,
                label=words,
            )
        axes.set_title(title, fontsize=SMALL, color=INK, loc="left")
        axes.set_xlabel("step")
        axes.set_xlim(1, 60)
        axes.grid(axis="y")
    panels[0].set_ylabel("training loss, nats a token")
    lines = {line.get_label(): line for axes in panels for line in axes.get_lines()}
    figure.legend(
        lines.values(),
        lines.keys(),
        loc="outside lower center",
        ncols=2,
        columnspacing=1.2,
        frameon=False,
        fontsize=SMALL,
        labelcolor=INK,
        handlelength=2,
    )
