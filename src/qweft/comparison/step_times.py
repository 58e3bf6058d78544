"""Equal wall-clock: how many steps of one method take the time of another's training."""

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, replace
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

    Measured once and kept in the output folder, so that a comparison that goes on later has the same steps.

    Raises:
        QweftError: If the folder holds the times of another configuration.
    """
    pairs = {name: other for name, method in bench.config.methods.items() if (other := method.match_time) is not None}
    involved = [method for method in bench.methods if method.name in pairs or method.name in pairs.values()]
    if not involved:
        return bench.methods
    seconds = next(found for _, found in done_by_any([lambda: _seconds(bench, involved)]))
    steps = steps_of(bench.config.training, len(bench.data.train))
    return [
        _matched(method, steps, seconds[method.name], seconds[pairs[method.name]]) if method.name in pairs else method
        for method in bench.methods
    ]


def _matched(method: Method, steps: int, own: float, other: float) -> Method:
    budget = {**(method.budget or {}), "step_seconds": [own, other]}
    return replace(method, steps=max(1, round(steps * other / own)), budget=budget)


def _seconds(bench: Bench, methods: Sequence[Method]) -> dict[str, float] | None:
    """Seconds a step by method, read or measured; none while another process measures."""
    key = fingerprint(
        bench, {"training": asdict(bench.config.training), "adapters": {m.name: m.adapter for m in methods}}
    )
    path = bench.output / FILE
    with claimed(bench.output) as ours:
        if not ours:
            return None
        if not path.is_file():
            bench.console.print(f"measuring a step of {', '.join(m.name for m in methods)}", highlight=False)
            write_json(path, {"fingerprint": key, "seconds": _measure(bench, methods)})
        saved: dict[str, Any] = json.loads(path.read_text())
    if saved["fingerprint"] != key:
        raise QweftError(
            f"{path} holds the times of another configuration; choose another --output, or remove that file to measure "
            "again"
        )
    return dict(saved["seconds"])


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
