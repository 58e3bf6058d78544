"""`Pace`: what a budget of time allows a halving, by measured step times: steps, rates, rungs and seeds."""

import math
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import count, islice
from pathlib import Path
from statistics import fmean
from typing import Any

from qweft.comparison.claims import claimed, done_by_any
from qweft.comparison.config import HalvingConfig
from qweft.comparison.context import Context, fingerprint
from qweft.comparison.halving import FOLDERS
from qweft.comparison.methods import Method
from qweft.comparison.plan import Plan, only, rung_sizes, rung_steps
from qweft.comparison.schedule import GENERATED, duration, seconds_of_a_token, tokens
from qweft.comparison.step_times import timed_fit
from qweft.comparison.trial import RECORD
from qweft.comparison.trial import read_record as read_run
from qweft.environment import ALONE, LoadMeter, share_said
from qweft.errors import QweftError
from qweft.records import read_record, write_record
from qweft.text import many
from qweft.training.loop import planned_steps

FILE = "budget.json"
WAY = "remove that file and the folders rung-*, and the budget is planned anew"
SHORTEST = 1e-9
SHARE = 0.1
"""Share of the budget that timing may take. Methods that are left then count as the mean of those that were timed."""
FEW_STEPS, LEAST_STEPS = 16, 4
"""With fewer steps than the first, rates, rows, rungs and methods are saved; fewer than the second are never made."""
SAVING = (math.inf, 1, 2, 1), (3, 1, 2, 1), (3, 0.25, 2, 1), (3, 0.25, 1, 1), (3, 0.25, 1, 0.6), (3, 0.25, 1, 0.3)
"""Most rates of a search, share of the held-out rows, rungs, and share of the methods, saved one after another."""
LEAST_ROWS = 16, 32
"""Validation and test rows that are judged at least, where there are as many."""
FEWEST = 3
"""Methods are left out for want of time down to these."""
MOST_SEEDS = 8
"""Most seeds of the last runs that time left over is spent on."""


@dataclass(frozen=True)
class Costs:
    """Seconds of everything in a comparison, as measured."""

    step: dict[str, float]
    beside: dict[str, float]
    validation: float
    test: float
    answers: float

    def on(self, rows: tuple[int, int] | None, whole: tuple[int, int]) -> "Costs":
        """Return the costs where so many of the validation and test rows are judged; `None` means all."""
        validation, test = (kept / max(1, all_of) for kept, all_of in zip(rows or whole, whole, strict=True))
        return replace(self, validation=self.validation * validation, test=self.test * test)

    def run(self, names: Sequence[str], steps: int, judging: float) -> float:
        """Return the mean seconds of a run of these methods."""
        return fmean(self.step[name] * steps + self.beside[name] for name in names) + judging


@dataclass(frozen=True)
class Pace:
    """How a comparison spends its time."""

    steps: int
    rungs: tuple[int, ...]
    rates: int
    seeds: int
    methods: int
    seconds: float
    rows: tuple[int, int] | None = None


def read_pace(path: Path, plan: Plan) -> tuple[Pace, Costs, dict[str, Any]]:
    """Return the plan that is kept, the costs that it is made of, and the whole record."""
    record = read_record(path, WAY)
    try:
        told = record["pace"]
        rows = None if told.get("rows") is None else (told["rows"][0], told["rows"][1])
        pace = Pace(**{**told, "rungs": tuple(told["rungs"]), "rows": rows, "seconds": float(told["seconds"])})
        costs = Costs(**record["costs"])
        if not {method.name for method in plan.methods} <= costs.step.keys() & costs.beside.keys():
            raise ValueError("it was made for other methods")
        if min(*costs.step.values(), pace.steps, *pace.rungs) <= 0:
            raise ValueError("a number below 1")
        asked = float(record["seconds"])
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise QweftError(f"{path} is damaged, or of another comparison ({str(error)[:200]}); {WAY}") from error
    if asked != plan.budget.seconds:
        raise QweftError(f"{path} has the plan of another budget, {asked:.0f} s; give another --output, or that budget")
    return pace, costs, record


@dataclass(frozen=True)
class Shape:
    """What of a comparison decides its time besides the pace."""

    names: tuple[str, ...]
    searched: float
    halving: HalvingConfig
    rates: int
    rung_seeds: int
    seeds: int
    most_seeds: int
    whole: int
    workers: int
    rows: tuple[int, int] = (64, 64)

    def rungs(self, steps: int, number: int) -> tuple[int, ...]:
        """Return the steps of the last `number` rungs."""
        return rung_steps(self.halving, steps)[-number:]

    def judged(self, share: float) -> tuple[int, int] | None:
        """Return the validation and test rows that a share is; `None` if these are all."""
        validation, test = (
            max(math.ceil(share * whole), min(least, whole)) for whole, least in zip(self.rows, LEAST_ROWS, strict=True)
        )
        return None if (validation, test) == self.rows else (validation, test)

    def finalists(self, methods: int) -> int:
        """Return how many methods come to the end at most; one less than the methods where time left some out."""
        wanted = self.halving.finalists or 2
        return wanted if methods == len(self.names) else min(wanted, max(2, methods - 1))

    def seconds(self, costs: Costs, pace: Pace) -> float:
        """Return the estimated time of the whole comparison.

        sum over rungs of methods * runs a method * (steps * t + t_beside + t_validation)
        + finalists * seeds * (steps * t + t_beside + t_test),   each t the mean of all methods
        """
        costs = costs.on(pace.rows, self.rows)
        names, finalists = self.names[: pace.methods], self.finalists(pace.methods)
        sizes = [len(names), *rung_sizes(len(names), finalists, len(pace.rungs))]
        each = self.rung_seeds * (self.searched * (3 + pace.rates) / 2 + 1 - self.searched)
        total = sum(
            size * each * costs.run(names, made, costs.validation)
            for size, made in zip(sizes, pace.rungs, strict=False)
        )
        last = min(sizes[-1], len(names))
        total += last * (pace.seeds * costs.run(names, pace.steps, costs.test) + costs.answers)
        return (total + costs.test + costs.answers) / self.workers


def pace_of(costs: Costs, shape: Shape, left: float) -> Pace:
    """Return the pace with the most steps that fit, and then with as many seeds as fit."""
    for most, judged, number, share in SAVING:
        rates = int(min(shape.rates, most))
        methods = max(math.ceil(share * len(shape.names)), min(FEWEST, len(shape.names)))
        begun = Pace(0, (), rates, shape.seeds, methods, 0.0, shape.judged(judged))
        found = _longest(costs, shape, left, begun, number)
        if found.steps >= min(FEW_STEPS, shape.whole) and found.seconds <= left:
            break
    for seeds in range(shape.seeds + 1, shape.most_seeds + 1):
        more = replace(found, seeds=seeds)
        more = replace(more, seconds=shape.seconds(costs, more))
        if more.seconds > left:
            break
        found = more
    return found


def _longest(costs: Costs, shape: Shape, left: float, pace: Pace, number: int) -> Pace:
    """Return the pace with the largest number of steps that fit, by bisection; at least `LEAST_STEPS`."""

    def of(steps: int) -> Pace:
        made = replace(pace, steps=steps, rungs=shape.rungs(steps, number))
        return replace(made, seconds=shape.seconds(costs, made))

    low, high = min(LEAST_STEPS, shape.whole), shape.whole
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if of(middle).seconds <= left else (low, middle - 1)
    return of(low)


def paced(
    context: Context, plan: Plan, before: float, seconds_of_token: float | None = None
) -> tuple[Context, Plan, Pace]:
    """Return what the runs share and the plan, with the steps, rates and seeds that the budget of time allows."""
    workers = plan.workers or int(getattr(context.executor, "workers", 1))
    task = partial(_decided, context, plan, workers, before, seconds_of_token)
    pace = next(found for _, found in done_by_any([task], context.executor.wait))
    training = replace(context.settings.training, max_steps=pace.steps)
    context = replace(context, settings=replace(context.settings, training=training, most_rows=pace.rows))
    finalists = shape_of(context, plan, workers).finalists(pace.methods)
    halving = replace(plan.halving, rungs=list(pace.rungs), finalists=finalists)
    methods = only(plan.methods, plan.methods[: pace.methods], plan.search)
    reference = plan.reference if any(each.name == plan.reference for each in methods) else methods[0].name
    grid = replace(plan.grid, most=pace.rates)
    too_slow = tuple(each.name for each in plan.methods[pace.methods :])
    plan = replace(plan, halving=halving, grid=grid, methods=methods, reference=reference, too_slow=too_slow)
    return context, plan, pace


def _decided(context: Context, plan: Plan, workers: int, before: float, token: float | None) -> Pace | None:
    """Return the pace; `None` while another process decides."""
    path = context.output / FILE
    with claimed(context.output) as ours:
        if not ours:
            return None
        of = _of(context, plan)
        if os.path.lexists(path):
            pace, _, record = read_pace(path, plan)
            if record["of"] == of:
                return pace
            if next(context.output.glob(f"**/{RECORD}"), None) is not None:
                raise QweftError(
                    f"{path} has the plan for other rows, another model or other methods; give another --output, or "
                    f"{WAY}"
                )
        begun, load = clock(), LoadMeter(with_children=True)
        context.console.say(f"timing a step of {many(len(plan.methods), 'method')}")
        limit = SHARE * (plan.budget.seconds or 0.0)
        found = context.executor.call(context, measured, plan.methods, plan.grid.seeds[0], limit, token)
        others = load.read().cpu_by_others or 0.0
        if others > ALONE and plan.executor == "local":  # a cluster's processes would count as others
            context.console.say(
                f"other processes took {share_said(others)} of the processors meanwhile, and the plan is for such times"
            )
        costs = costs_of(context, found)
        before += clock() - begun
        left = (plan.budget.seconds or 0.0) - before
        pace = pace_of(costs, shape_of(context, plan, workers), left)
        kept = {"pace": asdict(pace), "costs": asdict(costs)}
        write_record(path, {"of": of, "seconds": plan.budget.seconds, "before": before, "workers": workers, **kept})
        return pace


def _of(context: Context, plan: Plan) -> str:
    """Return a hash of what the times and numbers of steps depend on."""
    steps = planned_steps(context.settings.training, context.data.train)
    methods = [[method.name, method.adapter] for method in plan.methods]  # their order decides which are left out
    return fingerprint(context, {"steps": steps, "methods": methods, "halving": asdict(plan.halving)})


def with_seeds(context: Context, plan: Plan, methods: Sequence[Method], pace: Pace) -> Plan:
    """Return the plan with as many seeds of the last runs as the time that the rungs left allows."""
    _, costs, record = read_pace(context.output / FILE, plan)
    costs = costs.on(pace.rows, rows_of(context))
    workers = int(record["workers"])
    records = (read_run(path)[1] for path in sorted(context.output.glob(f"{FOLDERS}*/*/{RECORD}")))
    spent = float(record["before"]) + sum(run.seconds or 0.0 for run in records) / workers
    left = (plan.budget.seconds or 0.0) - spent
    names = [method.name for method in methods]
    once = (len(names) + 1) * costs.answers + costs.test
    each = len(names) * costs.run(names, pace.steps, costs.test)
    least = len(plan.seeds)
    if len(plan.looks) > 1:
        return plan
    seeds = max(least, min(MOST_SEEDS, int((left * workers - once) / each)))
    unused = (seed for seed in count() if seed not in plan.seeds)
    return replace(plan, looks=((*plan.seeds, *islice(unused, seeds - least)),))


def measured(
    context: Context, methods: Sequence[Method], seed: int, most: float, token: float | None = None
) -> dict[str, tuple[float, float]]:
    """Return seconds of a step and of a run beside its steps, by method, and of an evaluated token as ("", 0)."""
    start, found = clock(), dict[str, tuple[float, float]]()
    token = token or seconds_of_a_token(context) or SHORTEST
    timed_fit(context, methods[0], seed, 1)  # the first one compiles and fills caches
    for method in methods:
        if found and clock() - start > most:
            break
        begun = clock()
        fitted = timed_fit(context, method, seed, 1)
        whole, step = clock() - begun, fitted.step_seconds_median or SHORTEST
        found[method.name] = (step, max(0.0, whole - step))
    mean = fmean(step for step, _ in found.values()), fmean(beside for _, beside in found.values())
    return {"": (token, 0.0), **{method.name: found.get(method.name, mean) for method in methods}}


def costs_of(context: Context, found: Mapping[str, tuple[float, float]]) -> Costs:
    """Return the costs of a comparison's parts from what was measured."""
    token, data, judging = found[""][0], context.data, context.settings.evaluation
    return Costs(
        step={name: step for name, (step, _) in found.items() if name},
        beside={name: beside for name, (_, beside) in found.items() if name},
        validation=token * tokens(data.validation),
        test=token * tokens(data.test),
        answers=token * GENERATED * min(judging.answers, len(data.test)) * judging.max_new_tokens,
    )


def shape_of(context: Context, plan: Plan, workers: int) -> Shape:
    """Return what of a comparison decides its time besides the pace."""
    return Shape(
        names=tuple(method.name for method in plan.methods),
        searched=sum(method.searched for method in plan.methods) / len(plan.methods),
        halving=plan.halving,
        rates=max(3, plan.grid.trainings[1] // len(plan.grid.seeds)),
        rung_seeds=len(plan.grid.seeds),
        seeds=len(plan.seeds),
        most_seeds=max(MOST_SEEDS, len(plan.seeds)) if len(plan.looks) == 1 else len(plan.seeds),
        whole=planned_steps(context.settings.training, context.data.train),
        workers=workers,
        rows=rows_of(context),
    )


def rows_of(context: Context) -> tuple[int, int]:
    """Return the numbers of validation and test rows."""
    return len(context.data.validation), len(context.data.test)


def pace_said(pace: Pace, plan: Plan) -> str:
    """Return the plan of the time as text."""
    rungs = " and ".join(map(str, pace.rungs))
    finalists = min(plan.halving.finalists or 2, len(plan.methods))
    told = (
        f"{many(pace.methods, 'method')} in rungs of {rungs} steps, then {finalists} for {pace.steps} steps at "
        f"{many(pace.seeds, 'seed')}: about {duration(pace.seconds)}"
    )
    if pace.rows is not None:
        told = f"judged on {pace.rows[0]} validation and {pace.rows[1]} test rows; {told}"
    if plan.too_slow:
        told = f"no time for {', '.join(plan.too_slow)}; {told}"
    limit = plan.budget.seconds or 0.0
    if pace.seconds > limit:
        return f"{told}: more than the budget of {duration(limit)}, and the least that compares them"
    later = "; seeds that are added until it is decided come on top" if len(plan.looks) > 1 else ""
    return f"{told}, within the budget of {duration(limit)}{later}"


clock = time.perf_counter
"""The time, which tests replace."""
