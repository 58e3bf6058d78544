"""The table of candidates in docs/research.md, from what was tried.

python -m research.table
"""

import json
from collections import defaultdict

from research.candidates import CANDIDATES
from research.run import RESULTS

STEPS = 60
"""Of the proxy; what was tried with other steps, or on other rows, is told in the text."""


def rows() -> list[str]:
    """A row for each candidate that was tried, best first, at the best of its rates."""
    found: dict[str, dict[float, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
    sizes = {}
    for run in json.loads(RESULTS.read_text()):
        if run["steps"] == STEPS and "train_rows" not in run and run["validation_loss"] is not None:
            found[run["candidate"]][run["rate"]][run["seed"]] = run["validation_loss"]
            sizes[run["candidate"]] = run["trained_parameters"]
    told = []
    for name, by_rate in found.items():
        alike: dict[tuple[int, ...], dict[float, float]] = defaultdict(dict)
        for rate, losses in by_rate.items():
            alike[tuple(sorted(losses))][rate] = sum(losses.values()) / len(losses)
        # rates that were tried on the same seeds: the most seeds, and of these the most rates
        chosen = max(alike, key=lambda seeds: (len(seeds), len(alike[seeds]), seeds))
        mean, rate = min((mean, rate) for rate, mean in alike[chosen].items())
        seeds, tried = ", ".join(map(str, chosen)), len(alike[chosen])
        line = (
            f"| `{name}` | {sizes[name]:,} | {mean:.3f} | {rate:g} of {tried} | {seeds} | {CANDIDATES[name].expected} |"
        )
        told.append((mean, line))
    return [line for _, line in sorted(told)]


def main() -> None:
    print("| candidate | trained parameters | validation loss | best rate | seeds | expected |")
    print("|---|---:|---:|---:|---:|---|")
    print("\n".join(rows()))


if __name__ == "__main__":
    main()
