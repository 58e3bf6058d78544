"""What a budget of time allows a halving, by measured step times: steps, rates, methods and seeds."""

import time
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
from transformers import set_seed

from qweft.adapter.attach import detach
from qweft.comparison.methods import Method, put_on
from qweft.comparison.plan import Plan, more_seeds, rung_sizes, rung_steps
from qweft.comparison.run.context import Context
from qweft.comparison.run.workers import alone
from qweft.comparison.timing import duration
from qweft.core.errors import QweftError
from qweft.core.progress import progress
from qweft.core.records import read_record, typed_keys, write_record
from qweft.core.text import many
from qweft.data.tokens import Encoded
from qweft.evaluation.loss import held_out_loss
from qweft.training.loop import fit

FILE = "budget.json"
WAY = "remove that file and the folders rung-*, and the budget is planned anew"
SHARE = 0.1
"""Share of the budget that timing may take."""
ENOUGH_STEPS, LEAST_STEPS = 30, 4
"""Below the first, rates and methods are saved: a choice after a few steps is a poor one. Fewer steps than the second
are never made."""
LEAST_RATES = 3
FEWEST = 2
"""Methods are left out for want of time down to these, the last one first. The first LoRA leads the list."""
MOST_SEEDS = 8
"""Most seeds of the last runs that time left over is spent on."""
GENERATED = 25.0
"""Cost of a generated token, in evaluated ones: a forward pass for one token reads all weights."""
HARMLESS = 1e-6
"""A learning rate at which no method diverges. Step time does not depend on it."""


@dataclass(frozen=True)
class Costs:
    """Seconds as measured: of a step and beside the steps, by method, and of judging a run."""

    runs: Sequence[tuple[float, float]]
    validation: float
    test: float


@dataclass(frozen=True)
class Pace:
    """How a comparison spends its time, and how much: the content of budget.json, on which all processes agree."""

    steps: int
    rates: int
    methods: int
    seeds: int
    seconds: float = 0.0
    of: str = ""  # hash of what it depends on


def seconds_of(plan: Plan, costs: Costs, pace: Pace) -> float:
    """Return the estimated time of the whole comparison in one process: rungs, finalists and the base model."""
    step, beside = np.mean(costs.runs[: pace.methods], axis=0)
    steps, finalists = rung_steps(plan.config.halving, pace.steps), min(plan.finalists, pace.methods)
    sizes = [pace.methods, *rung_sizes(pace.methods, finalists, len(steps))]
    trainings = len(plan.grid.seeds) * ((LEAST_RATES + pace.rates) / 2 if plan.config.search else 1)
    total = finalists * pace.seeds * (pace.steps * step + beside + costs.test) + costs.test
    for size, number in zip(sizes, steps, strict=False):
        total += size * trainings * (number * step + beside + costs.validation)
    return float(total)


def pace_of(plan: Plan, costs: Costs, whole: int, left: float) -> Pace:
    """Return the pace with the most steps that fit, and then seeds; it saves only what it must for enough of them."""

    def timed(pace: Pace) -> Pace:
        return replace(pace, seconds=seconds_of(plan, costs, pace))

    savings = [(plan.grid.most, len(plan.methods))]
    savings += [(LEAST_RATES, methods) for methods in range(len(plan.methods), FEWEST - 1, -1)]
    possible = range(min(LEAST_STEPS, whole), whole + 1)
    for rates, methods in savings:
        pace = Pace(whole, rates, methods, len(plan.seeds))
        fitting = bisect_right(possible, left, key=lambda steps: timed(replace(pace, steps=steps)).seconds)
        pace = timed(replace(pace, steps=possible[max(0, fitting - 1)]))
        if pace.seconds <= left and pace.steps >= min(ENOUGH_STEPS, whole):
            break
    most = MOST_SEEDS if len(plan.analysis_seeds) == 1 else 0  # else seeds are added where a question is open
    while pace.seeds < most and (more := timed(replace(pace, seeds=pace.seeds + 1))).seconds <= left:
        pace = more
    return pace


def with_pace(context: Context, plan: Plan, begun: float) -> tuple[Context, Plan, Pace]:
    """Return what the runs share and the plan, with the steps, rates, methods and seeds that the time allows."""
    path, seconds = context.output / FILE, plan.budget.seconds or 0.0
    methods = [[method.name, method.adapter] for method in plan.methods]  # their order decides which are left out
    of = context.fingerprint(
        {"steps": context.steps, "methods": methods, "halving": asdict(plan.config.halving), "seconds": seconds}
    )
    with alone(context.output):
        if path.exists():
            pace = Pace(**typed_keys(Pace, read_record(path, WAY), path, WAY, ""))
            if pace.of != of:
                raise QweftError(
                    f"{path} has the plan of another budget, other rows, another model or other methods; give another "
                    f"--output, or {WAY}"
                )
        else:
            context.console.say(f"timing a step of {many(len(plan.methods), 'method')}")
            costs: Costs = context.call(measured, plan.methods, SHARE * seconds)
            left = (seconds - (time.perf_counter() - begun)) * context.workers
            pace = pace_of(plan, costs, context.steps, left)
            pace = replace(pace, seconds=pace.seconds / context.workers, of=of)
            write_record(path, asdict(pace))
    grid = replace(plan.grid, most=pace.rates)
    analysis_seeds = (more_seeds(plan.seeds, pace.seeds), *plan.analysis_seeds[1:])
    plan = plan.keeping(plan.methods[: pace.methods], grid=grid, analysis_seeds=analysis_seeds)
    training = replace(context.config.training, max_steps=pace.steps)
    return replace(context, config=replace(context.config, training=training)), plan, pace


def measured(context: Context, methods: Sequence[Method], most: float) -> Costs:
    """Return the costs by measurement; methods that come after so many seconds count as the mean of those before."""
    start, data, judging = time.perf_counter(), context.data, context.config.evaluation
    batch = data.held_out(judging.split)[: judging.batch_size]
    with progress("timing the base model"):
        for _ in range(2):  # the first pass is slower than all others
            begun = time.perf_counter()
            held_out_loss(context.loaded.model, batch, context.loaded.tokenizer.pad_token_id, len(batch))
        token = (time.perf_counter() - begun) / _tokens(batch)
    answers = min(judging.answers, len(data.test)) * judging.max_new_tokens / len(context.config.seeds)
    runs: list[tuple[float, float]] = []
    _timed_step(context, methods[0])  # the first one compiles and fills caches
    for method in methods:
        has_time = not runs or time.perf_counter() - start <= most
        runs.append(_timed_step(context, method) if has_time else tuple(np.mean(runs, axis=0)))
    return Costs(runs, token * _tokens(data.validation), token * (_tokens(data.test) + GENERATED * answers))


def _tokens(rows: Sequence[Encoded]) -> int:
    return sum(len(row["input_ids"]) for row in rows)


def _timed_step(context: Context, method: Method) -> tuple[float, float]:
    """Return the seconds of a step, and those beside it, of a training of one step that changes nothing."""
    begun, seed = time.perf_counter(), context.first_seed
    training = replace(context.config.training, max_steps=1, learning_rate=HARMLESS, seed=seed)
    set_seed(seed)
    adapted = put_on(context.loaded.model, method.adapter, 1)
    try:
        pad = context.loaded.tokenizer.pad_token_id
        step = fit(adapted, context.data.train, pad, training, f"{method.name}, timing").step_seconds_median or 0.0
    finally:
        detach(adapted)
    return step, max(0.0, time.perf_counter() - begun - step)


def pace_said(pace: Pace, plan: Plan) -> str:
    """Return the plan of the time as text."""
    rungs = " and ".join(map(str, rung_steps(plan.config.halving, pace.steps)))
    limit = duration(plan.budget.seconds or 0)
    return (
        f"{many(pace.methods, 'method')} in rungs of {rungs} steps, then {plan.finalists} for {pace.steps} steps at "
        f"{many(pace.seeds, 'seed')}: about {duration(pace.seconds)}, of a budget of {limit}"
    )
