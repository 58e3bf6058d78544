"""The paper's claim, from the kept results: its tables and its picture in docs/results.md.

Differences and intervals are those of the package (docs/statistics.md). Those of a test loss are over seeds and rows.
Those of a training loss are over seeds alone, since only the mean loss of a step is kept.
"""

from collections.abc import Mapping
from statistics import mean
from typing import Any

from matplotlib.figure import Figure

from qweft.comparison.judge.statistics import PairedComparison, SeedLosses, compare_losses
from qweft.comparison.judge.summary import losses_by_seed
from qweft.comparison.results import BASE, Run
from qweft.figures.figure import SMALL
from qweft.figures.styles import COLOURS, DASHES, INK
from research.evidence import is_rate_at_end, read

BySeed = Mapping[int, Run]
Runs = dict[str, dict[int, Run]]
Numbers = dict[str, Any]
WINDOW = 11
"""Steps in the moving mean of a curve: a step has four rows only."""
WORDS = {
    "lora": "LoRA, rank 4",
    "lora_1": "LoRA, rank 1",
    "qtha": "`qtha`",
    "qtha_256": "`qtha` at the authors' size",
    "mpo": "`mpo`: no circuit",
    "mpo_256": "`mpo` at the authors' size",
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
CONTROLS = (
    ("qtha", "mpo"),
    ("qtha", "perceptron"),
    ("qtha", "constant"),
    ("qtha_256", "mpo_256"),
    ("qwthn", "mpo"),
)
"""Methods with a circuit and what they are compared with at the authors' rate."""
END_OF_GRID = ", end of grid"
"""What a difference says where the search took the lowest or the highest rate that it tried."""
PANELS = {"claim": "one rate for all, 5e-5", "claim-own-rates": "each at its own rate"}
CURVES = {
    "lora": ("LoRA, rank 4", 0),
    "qtha": ("qtha, small", 1),
    "qtha_256": ("qtha, authors' size", 3),
    "mpo": ("qtha, no circuit", 2),
}


def runs_of(name: str) -> Runs:
    """Return the runs of kept results by method and seed."""
    by_method: Runs = {}
    for record in read(name)["runs"]:
        run = Run.from_json(record)
        if run.method != BASE:
            by_method.setdefault(run.method, {})[run.seed] = run
    return by_method


def compare_training(method: BySeed, reference: BySeed) -> PairedComparison:
    """Compare the training losses of two methods over their common seeds."""
    losses = SeedLosses({seed: run.train_loss for seed, run in method.items()})
    reference_losses = SeedLosses({seed: run.train_loss for seed, run in reference.items()})
    return compare_losses(losses, reference_losses)


def compare_test(method: BySeed, reference: BySeed) -> PairedComparison:
    """Compare the test losses of two methods over their common seeds and rows."""
    return compare_losses(losses_by_seed([*method.values()]), losses_by_seed([*reference.values()]))


def format_difference(pairing: PairedComparison) -> str:
    """Return a difference in percent, with its interval where there are enough seeds for one."""
    if pairing.interval is None:
        return f"{pairing.mean:+.1f}"
    low, high = pairing.interval
    return f"{pairing.mean:+.1f} [{low:+.1f}, {high:+.1f}]"


def format_mean(losses: list[float | None]) -> str:
    """Return the mean loss; a run that diverged has none, and no kept run of a table did."""
    return f"{mean(loss for loss in losses if loss is not None):.3f}"


def rows(name: str) -> list[list[str]]:
    """Return the rows of a comparison's table."""
    runs = runs_of(name)
    reference = runs["lora"]
    table = []
    for method, by_seed in runs.items():
        if method in ("qtha_unit", "qtha_balanced"):  # tried, and not in the package
            continue
        first = next(iter(by_seed.values()))
        training = test = ""
        if method != "lora":
            training = format_difference(compare_training(by_seed, reference))
            test = format_difference(compare_test(by_seed, reference))
        table.append(
            [
                WORDS[method],
                f"{first.trainable_parameters:,}",
                f"{first.learning_rate:g}",
                format_mean([run.train_loss for run in by_seed.values()]),
                training,
                format_mean([run.eval_loss for run in by_seed.values()]),
                test,
            ]
        )
    return table


def start_rows() -> list[list[str]]:
    """Return each start at 5e-5 (one seed) and at its own rate, against LoRA of rank 4 in test loss."""
    low_rate = runs_of("starts-low")
    own_rate = runs_of("claim-own-rates")
    table = []
    for start, method in STARTS.items():
        rate = next(iter(own_rate[method].values())).learning_rate
        at_low_rate = format_difference(compare_test(low_rate[start], low_rate["lora"]))
        at_own_rate = format_difference(compare_test(own_rate[method], own_rate["lora"]))
        table.append([WORDS[method], at_low_rate, f"{rate:g}", at_own_rate])
    return table


def length_rows() -> list[list[str]]:
    """Return by how much other starts end above the small one in test loss, in percent, on two texts."""
    table = []
    for method in ("qtha", "mpo", "qwthn"):
        cells = [f"`{method}`"]
        for recorded, small in LENGTHS:
            cells.append(_against_small((recorded, method), (small, method)))
        for other in (method, f"{method}_scaled"):
            cells.append(_against_small(("starts", other), ("starts", f"{method}_small")))
        table.append(cells)
    return table


def _against_small(other: tuple[str, str], small: tuple[str, str]) -> str:
    """Compare a start with the small one, each named by its results and its method there."""
    other_runs = runs_of(other[0]).get(other[1])
    small_runs = runs_of(small[0]).get(small[1])
    if other_runs is None or small_runs is None:
        return "-"
    at_end = is_rate_at_end(*other) or is_rate_at_end(*small)
    return format_difference(compare_test(other_runs, small_runs)) + (END_OF_GRID if at_end else "")


def circuit_rows() -> list[list[str]]:
    """Return what takes the circuit's place in `qtha` and what `qtha` then differs by, in percent."""
    runs = runs_of("claim")
    table = []
    for method, other in CONTROLS:
        training = format_difference(compare_training(runs[method], runs[other]))
        test = format_difference(compare_test(runs[method], runs[other]))
        table.append([WORDS[method], WORDS[other], training, test])
    return table


def _smoothed(by_seed: BySeed) -> list[float]:
    """Return the training loss by step: the mean over seeds, then over `WINDOW` steps."""
    curves = [[loss for _, loss in run.train_loss_curve] for run in by_seed.values()]
    steps = [mean(values) for values in zip(*curves, strict=True)]
    return [mean(steps[first : first + WINDOW]) for first in range(len(steps) - WINDOW + 1)]


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
