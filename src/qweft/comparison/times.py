"""Times: what a run costs, the time of a step, and the steps that fit into another method's time."""

import os
import statistics
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from transformers import set_seed

from qweft.adapter.attach import detach
from qweft.comparison.context import Context
from qweft.comparison.methods import Method, put_on
from qweft.comparison.workers import alone
from qweft.data.tokens import Encoded
from qweft.environment import ALONE, share_said
from qweft.errors import QweftError
from qweft.evaluation.loss import held_out_loss
from qweft.method.effective import needs_rows_first
from qweft.records import WRONG, read_record, write_record
from qweft.text import progress
from qweft.training.config import OF_DEVICES
from qweft.training.loop import Fit, fit, units

TRAINED = 3.0
"""Cost of a trained token in units of an evaluated one: forward, and twice that backward."""
GENERATED = 25.0
"""Cost of a generated token in the same units: a forward pass for one token reads all weights."""

FILE = "step_times.json"
ROUNDS = 3
"""Rounds of measurement. Each round measures every method once, so that a slow phase of the machine slows all alike."""
STEPS = 4
"""Steps per round, on the same rows for all methods; their median counts."""
HARMLESS = 1e-6
"""A learning rate at which no method diverges. Step time does not depend on it."""


def duration(seconds: float) -> str:
    """Return a rough time.

    >>> duration(48), duration(200), duration(7000)
    ('50 s', '3 min', '1.9 h')
    """
    if seconds < 90:
        return f"{max(10, round(seconds, -1)):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def span(least: str, most: str) -> str:
    """Return two ends as text.

    >>> span("10 s", "3 min"), span("10 s", "10 s")
    ('10 s to 3 min', '10 s')
    """
    return least if least == most else f"{least} to {most}"


def tokens(rows: Sequence[Encoded]) -> int:
    """Return the number of tokens of some rows."""
    return sum(len(row["input_ids"]) for row in rows)


def cost(context: Context, method: Method | None, seed: int) -> float:
    """Return the cost of a run in units of an evaluated token."""
    data, training, judging = context.data, context.config.training, context.config.evaluation
    rows, _ = context.judged_rows()
    answers = min(judging.answers, len(rows)) * judging.max_new_tokens if seed == context.first_seed else 0
    steps = 0 if method is None else method.steps or context.steps
    a_step = tokens(data.train) / len(units(training, data.train)) * training.batch_size * training.batches_a_step
    return tokens(rows) + GENERATED * answers + TRAINED * a_step * steps


def seconds_of_a_token(context: Context) -> float | None:
    """Return the time that the base model takes for a token of an evaluation, on one batch; `None` without rows."""
    batch = context.judged_rows()[0][: context.config.evaluation.batch_size]
    pad = context.loaded.tokenizer.pad_token_id
    if not batch:
        return None
    with progress("timing the base model"):
        held_out_loss(context.loaded.model, batch, pad, len(batch))  # the first pass is slower than all others
        begun = time.perf_counter()
        held_out_loss(context.loaded.model, batch, pad, len(batch))
    return (time.perf_counter() - begun) / tokens(batch)


def timed_fit(context: Context, method: Method, seed: int, steps: int = STEPS) -> Fit:
    """Return the fit of a short training that changes nothing, for its times."""
    training = replace(context.config.training, max_steps=steps, learning_rate=HARMLESS, seed=seed)
    set_seed(seed)
    adapted = put_on(context.loaded.model, method.adapter, steps)
    try:
        pad = context.loaded.tokenizer.pad_token_id
        return fit(adapted, context.data.train, pad, training, f"{method.name}, timing")
    finally:
        detach(adapted)


def with_matched_time(context: Context, methods: Sequence[Method], seed: int) -> list[Method]:
    """Return the methods, with the number of steps filled in for those with `match_time`.

    steps = max(1, round((steps of the other * its seconds per step + seconds of its bases - seconds of own bases)
                         / own seconds per step))
    """
    names = {method.name: method for method in methods}
    return [
        method if method.matches_time is None else _matched(context, method, names[method.matches_time], seed)
        for method in methods
    ]


def _matched(context: Context, method: Method, other: Method, seed: int) -> Method:
    path, key = context.output / FILE, _key(context, method, other)
    with alone(context.output):
        kept = _read(path)
        if key not in kept:
            context.console.say(f"measuring a step of {other.name}, {method.name}")
            theirs, own = context.call(_measure, [other, method], seed)
            steps, bases, shares = zip(own, theirs, strict=True)
            others = None if None in shares else max(shares)
            times = {"seconds": list(steps), "basis_seconds": list(bases), "cpu_by_others": others}
            kept[key] = {"method": method.name, "matches_time": other.name, **times}
            write_record(path, kept)
            if (others or 0) > ALONE:
                context.console.say(
                    f"warning: {method.name} gets its number of steps from step times that were not measured alone "
                    f"(others took {share_said(others)} of the processors); to measure again, remove {path}"
                )
    (step, its_step), (bases, its_bases) = kept[key]["seconds"], kept[key]["basis_seconds"]
    used = {"step_seconds": [step, its_step], "basis_seconds": [bases, its_bases]}
    budget = {**(method.budget or {}), **used, "cpu_by_others": kept[key].get("cpu_by_others")}
    steps = max(1, round((context.steps * its_step + its_bases - bases) / step))
    return replace(method, steps=steps, budget=budget)


def _key(context: Context, own: Method, other: Method) -> str:
    """Return a hash of what a step time depends on: not rates, seeds, numbers of steps or other methods."""
    needs_rows = needs_rows_first(own.adapter) or needs_rows_first(other.adapter)
    decides = context.config.training.decides(needs_rows)
    names = ("batch_size", "gradient_accumulation", "gradient_checkpointing", "basis_rows", "packing", *OF_DEVICES)
    work = {name: decides.get(name) for name in names}
    return context.fingerprint({"work": work, "adapters": [own.adapter, other.adapter]})


def _read(path: Path) -> dict[str, dict[str, Any]]:
    """Return the saved times by key."""
    if not os.path.lexists(path):
        return {}
    way = "remove that file to measure again, and with it finished runs whose number of steps changes"
    kept = read_record(path, way)
    if all(isinstance(each, dict) and {"seconds", "basis_seconds"} <= each.keys() for each in kept.values()):
        return kept
    raise QweftError(f"{path} {WRONG}; {way}")


def _measure(context: Context, methods: Sequence[Method], seed: int) -> list[tuple[float, float, float | None]]:
    """Return each method's seconds of a step, seconds of the bases, and the processors' share of others."""
    rounds = [[timed_fit(context, method, seed) for method in methods] for _ in range(ROUNDS + 1)]
    return [
        (
            statistics.median(step for each in fits if (step := each.step_seconds_median) is not None),
            statistics.median(each.basis_seconds for each in fits),
            max((share for each in fits if (share := each.cpu_by_others) is not None), default=None),
        )
        for fits in zip(*rounds[1:], strict=True)  # the first round compiles and fills caches
    ]
