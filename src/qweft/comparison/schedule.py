"""The runs of a comparison in order, what each of them is, and estimates of the time that they take."""

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from qweft.comparison.context import Context, judged_rows
from qweft.comparison.methods import Method
from qweft.comparison.plan import Grid
from qweft.comparison.results import BASE, Run
from qweft.comparison.trial import RECORD, run_folder
from qweft.comparison.wording import kind_said
from qweft.data.tokens import Encoded
from qweft.evaluation.loss import held_out_loss
from qweft.text import many, progress
from qweft.training.loop import planned_steps, units

TRAINED = 3.0
"""Cost of a trained token in units of an evaluated one: forward, and twice that backward."""
GENERATED = 25.0
"""Cost of a generated token in the same units: a forward pass for one token reads all weights."""


@dataclass(frozen=True)
class Schedule:
    """The runs in order, each with its cost in evaluated tokens."""

    runs: tuple[tuple[Method | None, int], ...]
    costs: tuple[float, ...]
    output: Path
    first_seconds: float | None = None

    def folder(self, place: int) -> Path:
        """Return the folder of a run."""
        method, seed = self.runs[place]
        return run_folder(self.output, BASE if method is None else method.name, seed)

    def finished(self) -> set[int]:
        """Return the places of the runs that have a record, whoever made them."""
        return {place for place in range(len(self.runs)) if (self.folder(place) / RECORD).is_file()}

    def left(self, made: Collection[int], seconds: float) -> float | None:
        """Return the estimated time of the runs without a record, by what others took; `None` without one."""
        cost, finished = sum(self.costs[place] for place in made), self.finished()
        waiting = sum(cost for place, cost in enumerate(self.costs) if place not in finished)
        return seconds / cost * waiting if cost and waiting else None

    def described(self) -> list[str]:
        """Return the number of runs with their estimated time, then a line on each method."""
        methods = list({method.name: method for method, _ in self.runs if method is not None}.values())
        seeds = sorted({seed for method, seed in self.runs if method is not None})
        base = "the base model, and " if any(method is None for method, _ in self.runs) else ""
        told = f"{many(len(self.runs), 'run')}: {base}{many(len(methods), 'method')} at "
        told += f"{'seed' if len(seeds) == 1 else 'seeds'} {', '.join(map(str, seeds))}"
        if self.first_seconds:
            told += f"; about {duration(self.first_seconds)}"
        width = max(len(method.name) for method in methods)
        return [told, *(f"  {method.name:<{width}}  {what_it_is(method)}" for method in methods)]


def schedule(
    context: Context,
    methods: Sequence[Method],
    seeds: Sequence[int],
    seconds_of_a_token: float | None,
    workers: int,
    made: Sequence[Run] = (),
) -> Schedule:
    """Return the untouched model's run if the first seed is among the seeds, then every method's at every seed."""
    first, had = context.settings.first_seed, {(run.method, run.seed) for run in made}
    runs: list[tuple[Method | None, int]] = [(None, first)] if first in seeds and (BASE, first) not in had else []
    runs += [(method, seed) for seed in seeds for method in methods if (method.name, seed) not in had]
    data, training, judging = context.data, context.settings.training, context.settings.evaluation
    rows, step = judged_rows(context.settings, data)[0], _trained_tokens(context)
    answers = GENERATED * min(judging.answers, len(rows)) * judging.max_new_tokens
    costs = []
    for method, seed in runs:
        steps = 0 if method is None else method.steps or planned_steps(training, data.train)
        costs.append(tokens(rows) + (answers if seed == first else 0) + TRAINED * step * steps)
    planned = Schedule(tuple(runs), tuple(costs), context.output)
    if seconds_of_a_token is None:
        return planned
    finished = planned.finished()
    waiting = sum(cost for place, cost in enumerate(costs) if place not in finished)
    return replace(planned, first_seconds=seconds_of_a_token * waiting / workers)


def search_said(
    context: Context, methods: Sequence[Method], grid: Grid, seconds_of_a_token: float | None, workers: int
) -> str:
    """Return a sentence on what the search before the runs makes, with its estimated time if a token was timed."""
    asked = [method for method in methods if method.searched]
    whole = planned_steps(context.settings.training, context.data.train)
    steps = sum((grid.steps or whole) * (method.steps or whole) / whole for method in asked)
    said = f"search for learning rates: {span(*(f'{each * len(asked):,}' for each in grid.trainings))} trainings"
    if not seconds_of_a_token:
        return said
    judged = len(asked) * tokens(context.data.validation)
    a_rate = (TRAINED * _trained_tokens(context) * steps + judged) * seconds_of_a_token / workers
    return f"{said}; about {span(*(duration(each * a_rate) for each in grid.trainings))}"


def seconds_of_a_token(context: Context) -> float | None:
    """Return the time that the base model takes for a token of an evaluation, on one batch; `None` without rows."""
    batch = judged_rows(context.settings, context.data)[0][: context.settings.evaluation.batch_size]
    pad = context.loaded.tokenizer.pad_token_id
    if not batch:
        return None
    with progress("timing the base model"):
        held_out_loss(context.loaded.model, batch, pad, len(batch))  # the first pass is slower than all others
        begun = time.perf_counter()
        held_out_loss(context.loaded.model, batch, pad, len(batch))
    return (time.perf_counter() - begun) / tokens(batch)


def what_it_is(method: Method) -> str:
    """Return a method in a few words, with its number of trained parameters.

    >>> what_it_is(Method("small", {"peft_type": "LORA", "r": 1}, 1e-3, 57600))
    'LoRA, rank 1: 57,600 trained parameters'
    """
    return f"{kind_said(method.adapter)}: {many(method.trainable_parameters, 'trained parameter')}"


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


def _trained_tokens(context: Context) -> float:
    """Return the tokens of a training step, on average."""
    data, training = context.data, context.settings.training
    share = tokens(data.train) / len(units(training, data.train))
    return share * training.batch_size * training.batches_a_step


def tokens(rows: Sequence[Encoded]) -> int:
    """Return the number of tokens of some rows."""
    return sum(len(row["input_ids"]) for row in rows)
