"""The table of candidates in docs/research.md, from what was tried.

python -m research.table
"""

import json
from collections import defaultdict

from research.candidates import CANDIDATES
from research.run import RESULTS

STEPS = 60
"""Of the proxy; what was tried with more is told in the text."""


def rows() -> list[str]:
    """A row for each candidate that was tried, best first, at the best of its rates."""
    found: dict[str, dict[float, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
    sizes = {}
    for run in json.loads(RESULTS.read_text()):
        if run["steps"] == STEPS and run["validation_loss"] is not None:
            found[run["candidate"]][run["rate"]][run["seed"]] = run["validation_loss"]
            sizes[run["candidate"]] = run["trained_parameters"]
    told = []
    for name, by_rate in found.items():
        most = max(len(losses) for losses in by_rate.values())
        mean, rate = min((sum(losses.values()) / most, rate) for rate, losses in by_rate.items() if len(losses) == most)
        seeds = ", ".join(map(str, sorted(by_rate[rate])))
        tried = len(by_rate)
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
