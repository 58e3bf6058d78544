"""How far the rates of an experiment may fall short, by its own search and by later ones on other seeds.

    qweft tune research/configs/decide.yaml --seeds 1000,1001 --search_seeds 2 --output runs/decide-rates
    python -m research.rates research/data/decide.json research/data/decide-rates.json

The same for the constant (research/configs/bias.yaml, bias.json and bias-rates.json). A later search on the
experiment's own seeds and more takes the place of its search:

    qweft tune research/configs/long.yaml --training.max_steps 60 --search_seeds 4 --output runs/long-60-rates
    python -m research.rates research/data/long-60.json research/data/long-60-rates.json

The judged rates stay as they were. Only what is known of the curve around them grows: a mean of more seeds, with more
degrees of freedom for its error (docs/statistics.md).
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from qweft.comparison.judge.searches import Search, read_searches
from qweft.core.errors import QweftError


def joined(search: Mapping[str, Any], more: Mapping[str, Any]) -> list[Search]:
    """Returns the searches of an experiment with the seeds of a later one added, at the rates that both tried.

    Of a method whose later search has all seeds of the earlier one, it is the later search alone.

    Args:
        search: The content of "search" in the experiment's results.json.
        more: The content of "methods" in a learning_rates.json.

    Raises:
        QweftError: One seed is in both, and another in the earlier search alone.
    """
    later = {each.method: each for each in read_searches(more)}
    made = []
    for each in read_searches(search):
        if each.method in later:
            first, second = set(search[each.method]["seeds"]), set(more[each.method]["seeds"])
            if first & second and not first <= second:
                raise QweftError(
                    f"{each.method}: seed {min(first & second)} is in both searches; search on none of the seeds "
                    f"{sorted(first)}, or on all of them"
                )
            found = added = later[each.method].by_seed
            if not first & second:
                rates = [rate for rate in each.by_seed if rate in added]
                found = {rate: (*each.by_seed[rate], *added[rate]) for rate in rates}
            each = replace(each, by_seed=found)
        made.append(each)
    return made


def main(argv: Sequence[str] | None = None) -> None:
    """Prints each method's shortfall before and after."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, help="results.json of a comparison")
    parser.add_argument("rates", type=Path, help="learning_rates.json of a later search")
    given = parser.parse_args(argv)
    search = json.loads(given.results.read_text(encoding="utf-8"))["search"]
    more = json.loads(given.rates.read_text(encoding="utf-8"))["methods"]
    before = {each.method: each for each in read_searches(search)}
    for each in joined(search, more):
        seeds = len(next(iter(each.by_seed.values())))
        print(
            f"{each.method} at {each.best:g}: {before[each.method].shortfall.text}; {seeds} seeds {each.shortfall.text}"
        )


if __name__ == "__main__":
    main()
