"""How often `qweft compare DATA --budget B` takes the right method: `python -m benchmarks.choices runs/long-60`.

The long comparison says which method is best (research/configs/long.yaml: 60 steps on dialogues, 40 on sentences). Then
the same data are given to `qweft compare` many times with little time, each time with other seeds and another split. A
choice is right if it is the best method of the long comparison, and harmless if its loss there is at most 1% above the
best. Finished comparisons are kept, so that a second start goes on. What is made is kept in results/choices.json, by
data.
"""

import argparse
import json
import math
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from qweft.core.files import write_json

RESULTS = Path(__file__).parent / "results" / "choices.json"
HARMLESS = 1.0
"""Percent above the best loss that does no harm."""
BUDGETS = ("3min", "5min", "10min")


@dataclass(frozen=True)
class Choice:
    """What one short comparison ended with.

    Args:
        budget: Its budget.
        number: Its place among those of this budget; seeds and split follow from it.
        method: What it takes.
        above: Percent by which this method's loss in the long comparison is above the best.
        text: Its sentence.
        steps: Steps of each of its trainings; None where it is not on record.
        tried: Methods that it had time for.
    """

    budget: str
    number: int
    method: str
    above: float
    text: str
    steps: int | None = None
    tried: Sequence[str] = ()


def known(results: Mapping[str, Any]) -> dict[str, float]:
    """Returns the mean held-out loss of each method of the long comparison."""
    losses: dict[str, list[float]] = {}
    for run in results["runs"]:
        if run["method"] != "base":
            losses.setdefault(run["method"], []).append(math.inf if run["eval_loss"] is None else run["eval_loss"])
    return {name: fmean(found) for name, found in losses.items()}


def command(data: Mapping[str, Any], model: Mapping[str, Any], budget: str, number: int, output: Path) -> list[str]:
    """Returns the command of one short comparison, on the data and the model of the long one."""
    seeds = range(100 * number + 100, 100 * number + 103)
    return [
        sys.executable, "-m", "qweft", "compare", data["source"], "--budget", budget,
        "--model", model["name"], "--model.source", model["source"], "--model.dtype", model["dtype"],
        "--data.max_length", str(data["max_length"]), "--data.overlong", data["overlong"],
        "--data.split_seed", str(number + 1), "--seeds", ",".join(map(str, seeds)), "--output", str(output),
    ]  # fmt: skip


def choice(losses: Mapping[str, float], results: Mapping[str, Any], budget: str, number: int) -> Choice:
    """Returns what a short comparison ended with."""
    found = results.get("recommendation")
    if found is None:  # every method diverged
        return Choice(budget, number, "none", math.inf, "")
    above = 100 * (losses[found["method"]] / min(losses.values()) - 1)
    rounds, steps = results.get("halving") or (), [run["steps"] for run in results.get("runs", ())]
    tried = [one["method"] for one in rounds[0]["standings"]] if rounds else ()
    return Choice(budget, number, found["method"], above, found["text"], max(steps, default=None), tried)


def table(choices: Sequence[Choice]) -> list[dict[str, Any]]:
    """Returns shares in percent for each budget, and for all."""
    rows = []
    for budget in [*dict.fromkeys(one.budget for one in choices), "all"]:
        some = [one for one in choices if budget in (one.budget, "all")]
        shares = {
            "right": [one.above == 0 for one in some],
            "harmless": [one.above <= HARMLESS for one in some],
            "decided": [one.text.startswith("Use ") for one in some],
        }
        told = {name: round(100 * fmean(held), 1) for name, held in shares.items()}
        rows.append({"budget": budget, "comparisons": len(some), **told, "worst": max(one.above for one in some)})
    return rows


def main() -> None:
    """Make the short comparisons that are missing, and the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("long", type=Path, help="folder of the long comparison")
    parser.add_argument("--budgets", nargs="*", default=list(BUDGETS))
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--workers", type=int, default=1, help="comparisons at once")
    parser.add_argument("--folder", type=Path, default=Path("runs/choices"))
    parser.add_argument("--output", type=Path, default=RESULTS)
    given = parser.parse_args()
    results = json.loads((given.long / "results.json").read_text())
    record = next(path for path in sorted(given.long.glob("*/run.json")) if path.parent.name != "base")
    config = json.loads(record.read_text())["config"]
    losses, source = known(results), config["data"]["source"]

    def made(place: tuple[int, str]) -> Choice:
        number, budget = place
        folder = given.folder / f"{budget}-{number}"
        asked = command(config["data"], config["model"], budget, number, folder)
        ended = subprocess.run(asked, capture_output=True, text=True)
        if ended.returncode:
            sys.exit(f"{' '.join(asked)}\n{ended.stderr[-2000:]}")
        found = choice(losses, json.loads((folder / "results.json").read_text()), budget, number)
        print(f"{budget} {number}: {found.method}, {found.above:.2f}% above the best", flush=True)
        return found

    places = [(number, budget) for number in range(given.repeats) for budget in given.budgets]
    files = json.loads(given.output.read_text()) if given.output.exists() else {}
    choices = list[Choice]()
    with ThreadPoolExecutor(given.workers) as pool:
        for found in pool.map(made, places):
            choices.append(found)
            ordered = sorted(choices, key=lambda one: (given.budgets.index(one.budget), one.number))
            files[source] = {"long": losses, "table": table(ordered), "choices": [asdict(one) for one in ordered]}
            write_json(given.output, files)
    for row in table(choices):
        print(row)


if __name__ == "__main__":
    main()
