"""The tables of candidates in docs/research.md and docs/research-appendix.md, from what was tried.

python -m research.table
python -m research.table --short
"""

import json
import sys
from collections import defaultdict
from collections.abc import Container

from research.candidates import CANDIDATES
from research.run import RESULTS

STEPS = 60
"""Of the proxy; what was tried with other steps, or on other rows, is told in the text."""


IN_SHORT = (
    "lora_8", "lora_1", "lora_1_down", "lora_1_all", "sparse_writes", "only_reads_1", "subspace_all_2", "fixed_reads_2",
    "metatt_all", "lorta_all", "layered_6_hats", "tied_sparse", "shared", "started_1",
    "basis_of_weights", "basis_of_activations", "basis_random", "basis",
    "qtha", "without_circuit", "near_identity", "scaled_circuit", "fast_angles", "slow_network", "decayed",
    "constant_angles", "pairs", "upload_arctan", "upload_products", "weighted_bonds", "other_layers", "wide",
    "last_layers", "subspace_gated", "subspace_gated_mlp", "summed", "summed_plain",
)  # fmt: skip
"""Candidates of the short table: one for each idea."""


def rows(names: Container[str] = CANDIDATES) -> list[str]:
    """A row for each of these candidates that was tried, best first, at the best of its rates."""
    found: dict[str, dict[float, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
    sizes = {}
    for run in json.loads(RESULTS.read_text()):
        if run["steps"] == STEPS and "train_rows" not in run and run["validation_loss"] is not None:
            found[run["candidate"]][run["rate"]][run["seed"]] = run["validation_loss"]
            sizes[run["candidate"]] = run["trained_parameters"]
    told = []
    for name, by_rate in found.items():
        if name not in names:
            continue
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
    """Print the table."""
    print("| candidate | trained parameters | validation loss | best rate | seeds | expected |")
    print("|---|---:|---:|---:|---:|---|")
    print("\n".join(rows(IN_SHORT if "--short" in sys.argv[1:] else CANDIDATES)))


if __name__ == "__main__":
    main()
