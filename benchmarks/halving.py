"""How often the sentence of a recommendation is false: `python -m benchmarks.halving`.

Comparisons of eight methods are simulated as `qweft compare my.csv` makes them: two rungs on validation rows at one
seed, then three finalists at three fresh seeds on the test rows, judged by the program's own functions. A claim is
false if a method that is called better is not, or two that are called equivalent differ by the margin or more. Beside
it stands how often the lowest of all eight, chosen and judged on the same rows, is falsely called better than another
one, without a correction: what the fresh rows and the shared level are for. Sizes are drawn anew for each comparison,
so that the best is not always the smallest. Rows are as many as a comparison holds out, and few as in a short budget.

It takes ten minutes on one core; what is made is kept in results/halving.json.
"""

import argparse
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.coverage import LOSS, LOSS_SPREAD, SOURCES
from numpy.typing import NDArray

from qweft.comparison.judge.halving import Rung, standings
from qweft.comparison.judge.statistics import compare_losses
from qweft.comparison.judge.summarise import asked_pairs, summarise
from qweft.comparison.judge.summary import Summary, compare_methods, losses_by_seed
from qweft.comparison.plan import rung_sizes
from qweft.comparison.report.decision import recommend
from qweft.comparison.results import Run
from qweft.core.files import write_json

RESULTS = Path(__file__).parent / "results" / "halving.json"

ADAPTERS: dict[str, dict[str, Any]] = {
    "lora": {"peft_type": "LORA", "r": 8},
    "lora_1": {"peft_type": "LORA", "r": 1},
    "lora_all": {"peft_type": "LORA", "r": 8, "target_modules": "all-linear"},
    "lora_all_1": {"peft_type": "LORA", "r": 1, "target_modules": "all-linear"},
    "ia3": {"peft_type": "IA3"},
    "sparse": {"preset": "sparse"},
    "qtha": {"preset": "qtha"},
    "mpo": {"preset": "mpo"},
}
MARGIN = 1.0
ROWS = (48, 48), (16, 32)
"""Validation and test rows."""
TRUTHS: dict[str, Sequence[float]] = {
    "all alike": (0.0,) * 8,
    "a margin apart": (0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0),
    "half a margin apart": (0.0, 0.5, 0.0, 0.5, 0.0, 0.5, 0.0, 0.5),
    "one ahead by 2%": (0.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0),
    "as measured": (2.5, 2.5, 0.0, 0.4, 1.9, 1.6, 4.6, 4.0),
}
"""True losses of the methods, in percent above the best; measured after 60 steps on dialogues (long-60.json)."""

Array = NDArray[np.float64]


class Chance:
    """One simulated comparison: rows, and what seeds and rows do to each method."""

    def __init__(self, source: str, rows: tuple[int, int], truth: Sequence[float], random: np.random.Generator):
        self.spread = [part / np.sqrt(2) for part in SOURCES[source]]  # a pair of methods has all of it
        self.truth, self.random = truth, random
        self.rows = {part: self._rows(count) for part, count in zip(("validation", "test"), rows, strict=True)}
        self.sizes = random.permutation(len(ADAPTERS))

    def _rows(self, count: int) -> tuple[Array, Array, Array]:
        """Tokens and losses of rows, and how well each method does on each."""
        tokens = np.ceil(np.exp(self.random.normal(3.5, 0.6, count)))
        losses = np.abs(self.random.normal(LOSS, LOSS_SPREAD, count))
        return tokens, losses, self.spread[1] * self.random.standard_normal((len(ADAPTERS), count))

    def run(self, name: str, seed: int, part: str, steps: int) -> Run:
        """A run with losses of its rows."""
        place = list(ADAPTERS).index(name)
        tokens, losses, by_row = self.rows[part]
        chance = self.spread[0] * self.random.standard_normal() + by_row[place]
        chance = chance + self.spread[2] * self.random.standard_normal(len(tokens))
        each = losses * (1 + self.truth[place] / 100) + LOSS * chance / 100
        mean = float((each * tokens).sum() / tokens.sum())
        pairs = tuple((float(loss * count), int(count)) for loss, count in zip(each, tokens, strict=True))
        return Run(
            "m", "d", name, seed, 1000 * (1 + int(self.sizes[place])), steps, 1.0, (), mean, None, 1.0, None, 1e-3,
            adapter=ADAPTERS[name], eval_row_losses=pairs,
        )  # fmt: skip


def compared(chance: Chance) -> tuple[list[Rung], dict[str, Summary]]:
    """The rungs, and the summary of the finalists on fresh rows and seeds."""
    alive, rungs = list(ADAPTERS), list[Rung]()
    for number, most in enumerate(rung_sizes(len(alive), 3, 2), 1):
        runs = {name: [chance.run(name, 1000, "validation", 8)] for name in alive}
        rungs.append(Rung(number, 8, (1000,), tuple(standings(runs, most))))
        alive = [name for name in alive if name in rungs[-1].remaining]
    fresh = [chance.run(name, seed, "test", 8) for name in alive for seed in range(3)]
    return rungs, summarise(fresh, rungs[-1].leader, MARGIN, is_strict=True)


def is_falsely_best(chance: Chance, truth: Mapping[str, float]) -> bool:
    """Whether the lowest of all methods at three seeds on the test rows is falsely called better than another one."""
    runs = {name: {seed: chance.run(name, seed, "test", 8) for seed in range(3)} for name in ADAPTERS}
    losses = {name: losses_by_seed([*by_seed.values()]) for name, by_seed in runs.items()}
    best = min(losses, key=lambda name: sum(loss or 0.0 for loss in losses[name].totals.values()))
    return any(
        compare_losses(losses[best], losses[name]).direction == "lower"
        for name in ADAPTERS
        if truth[name] <= truth[best] and name != best
    )


def false_claims(summary: Mapping[str, Summary], truth: Mapping[str, float]) -> int:
    """The number of false claims on the questions of a comparison."""
    false = 0
    for one, other in asked_pairs(summary):
        said, true = compare_methods(summary[one], summary[other]).direction, truth[one] - truth[other]
        apart = 100 * ((100 + truth[one]) / (100 + truth[other]) - 1)
        false += (said == "lower" and true >= 0) or (said == "higher" and true <= 0)
        false += said == "equivalent" and abs(apart) >= MARGIN * (1 - 1e-9)
    return false


def measure(source: str, rows: tuple[int, int], truth: Sequence[float], repeats: int) -> dict[str, float]:
    """Shares in percent: a false claim, one on the rung's rows, the right method, and one that is at most 1% worse."""
    random = np.random.default_rng(3)
    known = dict(zip(ADAPTERS, truth, strict=True))
    false = naive = right = harmless = decided = 0
    for _ in range(repeats):
        rungs, fresh = compared(Chance(source, rows, truth, random))
        false += false_claims(fresh, known) > 0
        naive += is_falsely_best(Chance(source, rows, truth, random), known)
        found = recommend(fresh, rungs)
        assert found is not None
        right += known[found.method] == min(truth)
        harmless += known[found.method] <= min(truth) + MARGIN
        decided += found.text.startswith("Use ")
    counts = {"false": false, "false_best_of_all": naive, "best": right, "harmless": harmless, "decided": decided}
    return {name: round(100 * count / repeats, 2) for name, count in counts.items()}


def main() -> None:
    """Make the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=1000)
    parser.add_argument("--truth", choices=TRUTHS, nargs="*", default=list(TRUTHS))
    parser.add_argument("--output", type=Path, default=RESULTS)
    given = parser.parse_args()
    table = []
    print("| rows | truth | chance | a false claim | the lowest of all | the best | at most 1% worse | decided |")
    print("|---:|---|---|---:|---:|---:|---:|---:|")
    for rows, name, source in product(ROWS, given.truth, SOURCES):
        found = measure(source, rows, TRUTHS[name], given.repeats)
        table.append({"rows": rows, "truth": name, "chance": source, **found})
        told = " | ".join(f"{value:.1f}" for value in found.values())
        print(f"| {rows[0]}, {rows[1]} | {name} | {source} | {told} |", flush=True)
    write_json(given.output, {"repeats": given.repeats, "table": table})


if __name__ == "__main__":
    main()
