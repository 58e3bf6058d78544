"""Equal wall-clock: how many steps of one method take the time of another's training."""

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from transformers import set_seed

from qweft.comparison.adapters import put_on, take_off
from qweft.comparison.bench import Bench, fingerprint
from qweft.comparison.claims import claimed, done_by_any
from qweft.comparison.methods import Method
from qweft.errors import QweftError
from qweft.files import write_json
from qweft.training.loop import fit, steps_of

FILE = "step_times.json"
ROUNDS = 3
"""Each method is measured once a round, in turn, so that what slows the machine for a while slows all of them."""
STEPS = 4
"""Steps a round, on the same rows for all; the median of them counts."""
HARMLESS = 1e-6
"""A learning rate at which no method diverges; the time of a step does not depend on it."""


def with_matched_time(bench: Bench) -> list[Method]:
    """The methods, those with `match_time` with their number of steps.

        steps = max(1, round(steps of the other * its seconds a step / own seconds a step))

    Measured once and kept in the output folder, so that a comparison that goes on later has the same steps, and a
    method that is added to it leaves those of the others as they are.

    Raises:
        QweftError: If the folder's file of times cannot be read.
    """
    pairs = {name: other for name, method in bench.config.methods.items() if (other := method.match_time) is not None}
    if not pairs:
        return bench.methods
    seconds = next(found for _, found in done_by_any([lambda: _seconds(bench, pairs)], bench.executor.wait))
    steps = steps_of(bench.config.training, len(bench.data.train))
    return [
        _matched(method, steps, *seconds[method.name]) if method.name in seconds else method for method in bench.methods
    ]


def _matched(method: Method, steps: int, own: float, other: float) -> Method:
    budget = {**(method.budget or {}), "step_seconds": [own, other]}
    return replace(method, steps=max(1, round(steps * other / own)), budget=budget)


def _seconds(bench: Bench, pairs: Mapping[str, str]) -> dict[str, tuple[float, float]] | None:
    """Seconds a step, own and the other's, of each method with `match_time`; none while another process measures.

    Args:
        bench: What the runs share.
        pairs: The method whose time is matched, by the method that matches it.
    """
    methods = {method.name: method for method in bench.methods}
    keys = {name: _key(bench, methods[name], methods[other]) for name, other in pairs.items()}
    path = bench.output / FILE
    with claimed(bench.output) as ours:
        if not ours:
            return None
        kept = _read(path)
        missing = {name: other for name, other in pairs.items() if keys[name] not in kept}
        if missing:
            measured = [m for m in bench.methods if m.name in {*missing, *missing.values()}]
            bench.console.print(f"measuring a step of {', '.join(m.name for m in measured)}", highlight=False)
            found = bench.executor.call(bench, _measure, measured)
            for name, other in missing.items():
                kept[keys[name]] = {"method": name, "matches_time": other, "seconds": [found[name], found[other]]}
            write_json(path, kept)
    return {name: (kept[key]["seconds"][0], kept[key]["seconds"][1]) for name, key in keys.items()}


def _key(bench: Bench, own: Method, other: Method) -> str:
    """A hash of what the time of a step depends on: not of rates, seeds, numbers of steps or other methods."""
    training = bench.config.training
    work = [training.batch_size, training.gradient_accumulation, training.gradient_checkpointing]
    return fingerprint(bench, {"work": work, "adapters": [own.adapter, other.adapter]})


def _read(path: Path) -> dict[str, dict[str, Any]]:
    """The times that were measured before, by their keys; {"seconds": [own, other]} and whose they are."""
    if not path.is_file():
        return {}
    try:
        kept: dict[str, dict[str, Any]] = json.loads(path.read_text("utf-8"))
        pairs = [(float(own), float(other)) for own, other in (entry["seconds"] for entry in kept.values())]
        if all(min(pair) > 0 for pair in pairs):
            return kept
        problem = "a time that is not above 0"
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        problem = str(error)
    raise QweftError(
        f"{path} is damaged or of an older version ({problem}); remove that file to measure again, and with it the "
        "finished runs of methods with match_time where their number of steps changes"
    )


def _measure(bench: Bench, methods: Sequence[Method]) -> dict[str, float]:
    found: dict[str, list[float]] = {method.name: [] for method in methods}
    for number in range(ROUNDS + 1):
        for method in methods:
            seconds = _step_seconds(bench, method)
            if number:  # the first round compiles and fills caches
                found[method.name].append(seconds)
    return {name: statistics.median(each) for name, each in found.items()}


def _step_seconds(bench: Bench, method: Method) -> float:
    budget = replace(bench.config.training, max_steps=STEPS, learning_rate=HARMLESS, seed=bench.config.seeds[0])
    set_seed(budget.seed)
    adapted = put_on(bench.loaded.model, method.adapter, STEPS)
    try:
        pad = bench.loaded.tokenizer.pad_token_id
        return fit(adapted, bench.data.train, pad, budget, f"{method.name}, timing").step_seconds_median
    finally:
        take_off(adapted, method.adapter)
