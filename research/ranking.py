"""How well the proxy ranks methods: the best loss of each search on validation rows, against the test rows' means.

    python -m research.ranking

A search is one seed, or two, of the same training, judged on validation rows; the runs that decide have five seeds or
more and test rows of their own. Of each run whose rates were searched: the rank correlation (Spearman's) over its
methods, and how many pairs of methods stand in the same order. The seeds of the search are left out of the means, since
a training is like itself on any rows.
"""

import json
from collections.abc import Sequence
from itertools import combinations, pairwise
from pathlib import Path
from statistics import correlation, mean

import numpy as np

RESULTS = Path(__file__).parents[1] / "docs" / "results"
SEARCHED = ("research-dialogue", "research-readout", "research-sparse", "research-reasoning", "research-second-model")


def losses(name: str) -> dict[str, tuple[float, float]]:
    """Of each method that was searched: the validation loss at its best rate, the mean test loss of other seeds."""
    kept = json.loads((RESULTS / f"{name}.json").read_text())
    found, steps = {}, kept["search"]["lora"]["steps"]
    for method, search in kept["search"].items():
        runs = [run for run in kept["runs"] if run["method"] == method]
        # left out: a rate of another method's search, and another number of steps
        if not search["validation_loss"] or search["steps"] != steps:
            continue
        tested = [run["eval_loss"] for run in runs if run["seed"] not in search["seeds"]]
        found[method] = min(loss for loss in search["validation_loss"].values() if loss is not None), mean(tested)
    return found


def ranking(name: str) -> tuple[int, float, int, int]:
    """Methods, Spearman's correlation, pairs in the same order, pairs."""
    found = losses(name)
    pairs = list(combinations(found.values(), 2))
    alike = sum((one[0] - other[0]) * (one[1] - other[1]) > 0 for one, other in pairs)
    ranks = [np.argsort(np.argsort(each)).tolist() for each in zip(*found.values(), strict=True)]
    return len(found), correlation(*ranks), alike, len(pairs)


BOUNDS = (0.0, 0.03, 0.05, float("inf"))
"""Between them, differences on validation rows."""


def by_difference(names: Sequence[str]) -> list[tuple[int, int]]:
    """Pairs in the same order, and pairs, whose validation losses differ by as much as stands between two bounds."""
    found = []
    for low, high in pairwise(BOUNDS):
        pairs = [pair for name in names for pair in combinations(losses(name).values(), 2)]
        pairs = [(one, other) for one, other in pairs if low <= abs(one[0] - other[0]) < high]
        found.append((sum((one[0] - other[0]) * (one[1] - other[1]) > 0 for one, other in pairs), len(pairs)))
    return found


def main() -> None:
    """Print both for the runs whose rates were searched."""
    for name in SEARCHED:
        methods, spearman, alike, pairs = ranking(name)
        print(f"{name}: {methods} methods, rank correlation {spearman:+.2f}, {alike} of {pairs} pairs alike")
    for (low, high), (alike, pairs) in zip(pairwise(BOUNDS), by_difference(SEARCHED[:3]), strict=True):
        print(f"the first three, validation losses {low:g} to {high:g} apart: {alike} of {pairs} pairs alike")


if __name__ == "__main__":
    main()
