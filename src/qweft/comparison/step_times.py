"""Step times of methods, and the number of steps that matches another method's training time."""

import os
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from transformers import set_seed

from qweft.adapter.attach import detach
from qweft.comparison.adapters import put_on
from qweft.comparison.claims import claimed, done_by_any
from qweft.comparison.context import Context, fingerprint
from qweft.comparison.methods import Method
from qweft.environment import ALONE, share_said
from qweft.errors import QweftError
from qweft.method.effective import needs_rows_first
from qweft.records import read_record, write_record
from qweft.training.config import OF_DEVICES
from qweft.training.loop import Fit, fit, planned_steps

Pair = tuple[float, float]
"""Seconds of the method and of the one that it matches."""
FILE = "step_times.json"
ROUNDS = 3
"""Rounds of measurement. Each round measures every method once, so that a slow phase of the machine slows all alike."""
STEPS = 4
"""Steps per round, on the same rows for all methods; their median counts."""
HARMLESS = 1e-6
"""A learning rate at which no method diverges. Step time does not depend on it."""


def with_matched_time(context: Context, methods: Sequence[Method], seed: int) -> list[Method]:
    """Return the methods, with the number of steps filled in for those with `match_time`.

    steps = max(1, round((steps of the other * its seconds per step + seconds of its bases - seconds of own bases)
                         / own seconds per step))
    """
    pairs = {method.name: other for method in methods if (other := method.matches_time) is not None}
    if not pairs:
        return list(methods)
    task = partial(_seconds, context, methods, pairs, seed)
    seconds = next(found for _, found in done_by_any([task], context.executor.wait))
    steps = planned_steps(context.settings.training, context.data.train)
    return [_matched(method, steps, *seconds[method.name]) if method.name in seconds else method for method in methods]


def _matched(method: Method, steps: int, step: Pair, bases: Pair, beside: float | None) -> Method:
    times = {"step_seconds": list(step), "basis_seconds": list(bases), "cpu_by_others": beside}
    budget = {**(method.budget or {}), **times}
    left = steps * step[1] + bases[1] - bases[0]
    return replace(method, steps=max(1, round(left / step[0])), budget=budget)


def _seconds(
    context: Context, methods: Sequence[Method], pairs: Mapping[str, str], seed: int
) -> dict[str, tuple[Pair, Pair, float | None]] | None:
    """Return the seconds of a step and of the bases, own and the other's, of each method with `match_time`."""
    by_name = {method.name: method for method in methods}
    path = context.output / FILE
    with claimed(context.output) as ours:
        if not ours:
            return None
        kept = _read(path)
        keys = {name: _key(context, by_name[name], by_name[other]) for name, other in pairs.items()}
        missing = {name: other for name, other in pairs.items() if keys[name] not in kept}
        if missing:
            measured = [m for m in methods if m.name in {*missing, *missing.values()}]
            context.console.print(f"measuring a step of {', '.join(m.name for m in measured)}", highlight=False)
            found = context.executor.call(context, _measure, measured, seed)
            for name, other in missing.items():
                (step, bases, beside), (its_step, its_bases, its_beside) = found[name], found[other]
                seconds: dict[str, Any] = {"seconds": [step, its_step], "basis_seconds": [bases, its_bases]}
                known = None if beside is None or its_beside is None else max(beside, its_beside)
                if (known or 0) > ALONE:
                    context.console.print(
                        f"warning: {name} gets its number of steps from step times that were not measured alone "
                        f"(others took {share_said(known)} of the processors); to measure again, remove {path}",
                        highlight=False,
                        markup=False,
                    )
                seconds["cpu_by_others"] = known
                kept[keys[name]] = {"method": name, "matches_time": other, **seconds}
            write_record(path, kept)
    return {name: (*_pairs(kept[key]), kept[key].get("cpu_by_others")) for name, key in keys.items()}


def _pairs(entry: Mapping[str, Any]) -> tuple[Pair, Pair]:
    """Return the times of a step and of the bases."""
    (step, its_step), (bases, its_bases) = entry["seconds"], entry["basis_seconds"]
    return (float(step), float(its_step)), (float(bases), float(its_bases))


def _key(context: Context, own: Method, other: Method) -> str:
    """Return a hash of what a step time depends on: not rates, seeds, numbers of steps or other methods."""
    needs_rows = needs_rows_first(own.adapter) or needs_rows_first(other.adapter)
    decides = context.settings.training.decides(needs_rows)
    names = ("batch_size", "gradient_accumulation", "gradient_checkpointing", "basis_rows", "packing", *OF_DEVICES)
    work = {name: decides.get(name) for name in names}
    return fingerprint(context, {"work": work, "adapters": [own.adapter, other.adapter]})


def _read(path: Path) -> dict[str, dict[str, Any]]:
    """Return the saved times by key: the entries that `_pairs` reads, with the names of both methods."""
    if not os.path.lexists(path):
        return {}
    way = (
        "remove that file to measure again, and with it the finished runs of methods with match_time where their "
        "number of steps changes"
    )
    kept = read_record(path, way)
    try:
        for step, bases in map(_pairs, kept.values()):
            if min(step) <= 0 or min(bases) < 0:
                raise ValueError("a time that no step has")
        return kept
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise QweftError(f"{path} is damaged ({str(error)[:200]}); {way}") from error


def _measure(context: Context, methods: Sequence[Method], seed: int) -> dict[str, tuple[float, float, float | None]]:
    found: dict[str, list[Fit]] = {method.name: [] for method in methods}
    for number in range(ROUNDS + 1):
        for method in methods:
            fitted = timed_fit(context, method, seed)
            if number:  # the first round compiles and fills caches
                found[method.name].append(fitted)
    return {
        name: (
            statistics.median(each_step for fitted in each if (each_step := fitted.step_seconds_median) is not None),
            statistics.median(fitted.basis_seconds for fitted in each),
            max((share for fitted in each if (share := fitted.cpu_by_others) is not None), default=None),
        )
        for name, each in found.items()
    }


def timed_fit(context: Context, method: Method, seed: int, steps: int = STEPS) -> Fit:
    """Return the fit of a short training that changes nothing, for its times."""
    budget = replace(context.settings.training, max_steps=steps, learning_rate=HARMLESS, seed=seed)
    set_seed(seed)
    adapted = put_on(context.loaded.model, method.adapter, steps)
    try:
        return fit(adapted, context.data.train, context.loaded.tokenizer.pad_token_id, budget, f"{method.name}, timing")
    finally:
        detach(adapted)
