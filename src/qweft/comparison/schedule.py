"""The runs of a comparison in order, what each of them is, and estimates of the time that they take."""

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from qweft.adapter.functions import FUNCTIONS
from qweft.comparison.context import Context
from qweft.comparison.method_kinds import core_of, kind_of
from qweft.comparison.methods import Method
from qweft.data.tokens import Encoded
from qweft.evaluation.loss import held_out_loss
from qweft.method.names import function_of
from qweft.method.presets import PRESETS
from qweft.text import many, progress
from qweft.training.loop import steps_of, units

TRAINED = 3.0
"""Cost of a trained token in units of an evaluated one: forward, and twice that backward."""
GENERATED = 25.0
"""Cost of a generated token in the same units: a forward pass for one token reads all weights."""


@dataclass(frozen=True)
class Schedule:
    """The runs in order, each with its cost in evaluated tokens.

    Args:
        runs: The method, `None` for the untouched model, and the seed of each run.
        costs: Tokens that each run evaluates, plus those that it trains on and generates, weighted by their cost.
        first_seconds: Estimated time of all runs before any was made; `None` if it was not timed.
    """

    runs: tuple[tuple[Method | None, int], ...]
    costs: tuple[float, ...]
    first_seconds: float | None = None

    def left(self, finished: Collection[int], made: Collection[int], seconds: float) -> float | None:
        """Returns the estimated time of the other runs, by what the last ones took; `None` without one.

        Args:
            finished: Places of all finished runs.
            made: Places of those that were made since the start.
            seconds: Time since the start.
        """
        cost = sum(self.costs[place] for place in made)
        waiting = sum(cost for place, cost in enumerate(self.costs) if place not in finished)
        return seconds / cost * waiting if cost and waiting else None

    def described(self) -> list[str]:
        """Returns the number of runs with their estimated time, then a line on each method."""
        methods = list({method.name: method for method, _ in self.runs if method is not None}.values())
        seeds = sorted({seed for method, seed in self.runs if method is not None})
        told = f"{many(len(self.runs), 'run')}: the untouched model, and {many(len(methods), 'method')} at "
        told += f"{'seed' if len(seeds) == 1 else 'seeds'} {', '.join(map(str, seeds))}"
        if self.first_seconds is not None:
            told += f"; about {duration(self.first_seconds)} if the machine stays as it is"
        width = max(len(method.name) for method in methods)
        return [told, *(f"  {method.name:<{width}}  {what_it_is(method)}" for method in methods)]


def schedule(context: Context, methods: Sequence[Method], seeds: Sequence[int], is_timed: bool) -> Schedule:
    """Returns the untouched model's run, then every method's at every seed.

    Args:
        context: What the runs share.
        methods: The methods, resolved.
        seeds: Each method runs once per seed.
        is_timed: Whether the base model is here, and its speed is measured on a few rows.
    """
    runs: list[tuple[Method | None, int]] = [(None, min(seeds))]
    runs += [(method, seed) for seed in seeds for method in methods]
    data, training, judging = context.data, context.settings.training, context.settings.evaluation
    rows = data.validation if judging.split == "validation" else data.test
    answers = GENERATED * min(judging.answers, len(rows)) * judging.max_new_tokens
    whole = units(training, data.train)
    step = _tokens(data.train) / len(whole) * training.batch_size * training.gradient_accumulation
    costs = []
    for method, seed in runs:
        steps = 0 if method is None else method.steps or steps_of(training, len(whole))
        first = seed == context.settings.first_seed
        costs.append(_tokens(rows) + (answers if first else 0) + TRAINED * step * steps)
    seconds = _seconds_of_a_token(context, rows) * sum(costs) if is_timed else None
    return Schedule(tuple(runs), tuple(costs), seconds)


def what_it_is(method: Method) -> str:
    """Returns a method in a few words, with its number of trained parameters.

    >>> what_it_is(Method("small", {"peft_type": "LORA", "r": 1}, 1e-3, 57600))
    'LoRA, rank 1: 57,600 trained parameters'
    """
    return f"{_kind_said(method)}: {many(method.trainable_parameters, 'trained parameter')}"


def duration(seconds: float) -> str:
    """Returns a rough time.

    >>> duration(48), duration(200), duration(7000)
    ('50 s', '3 min', '1.9 h')
    """
    if seconds < 90:
        return f"{max(10, round(seconds, -1)):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _kind_said(method: Method) -> str:
    adapter = method.adapter
    if "rival" in adapter:
        return f"{adapter['rival']}, another package's adapter"
    if kind_of(method.name, adapter) == "lora" and "preset" not in adapter:
        return f"LoRA, rank {adapter.get('r', 8)}"
    core = core_of(method.name, adapter)
    if core is None:
        return f"{str(adapter.get('peft_type')).upper()} of PEFT"
    function = FUNCTIONS.get(function_of(core) or "")
    if function is not None and function.report:
        return f"in the circuit's place {function.report.partition(' (')[0].partition(':')[0]}"
    preset = PRESETS.get(str(adapter.get("preset")))
    return "QWTHN" if preset is None else preset.description.partition(":")[0]


def _seconds_of_a_token(context: Context, rows: Sequence[Encoded]) -> float:
    """Returns the time that the base model takes for a token of an evaluation, on one batch."""
    batch, pad = list(rows[: context.settings.evaluation.batch_size]), context.loaded.tokenizer.pad_token_id
    with progress("timing the base model"):
        held_out_loss(context.loaded.model, batch, pad, len(batch))  # the first pass is slower than all others
        begun = time.perf_counter()
        held_out_loss(context.loaded.model, batch, pad, len(batch))
    return (time.perf_counter() - begun) / _tokens(batch)


def _tokens(rows: Sequence[Encoded]) -> int:
    return sum(len(row["input_ids"]) for row in rows)
