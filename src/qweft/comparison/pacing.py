"""`Pace`: what a budget of time allows a halving, by measured step times: steps, rates, rungs and seeds."""

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
from qweft.comparison.context import Context
from qweft.comparison.halving import FOLDERS
from qweft.comparison.methods import Method
from qweft.comparison.plan import Plan, rung_sizes, rung_steps
from qweft.comparison.schedule import GENERATED, duration, seconds_of_a_token, tokens
from qweft.comparison.step_times import timed_fit
from qweft.comparison.trial import RECORD, read_record
from qweft.errors import QweftError
from qweft.files import write_json
from qweft.records import read_record as read_json
from qweft.text import many
from qweft.training.loop import planned_steps

FILE = "budget.json"
WARM, TIMED = 1, 2
"""Steps of each method before and while it is timed."""
FEW_STEPS, LEAST_STEPS = 16, 4
"""With fewer steps than the first, rates and rungs are saved; fewer than the second are never made."""
MOST_SEEDS = 8
"""Most seeds of the last runs that time left over is spent on."""
SHORTEST, LONGEST = 1e-9, 1e9


@dataclass(frozen=True)
class Costs:
    """Seconds of everything in a comparison, as measured.

    Args:
        step: Of an optimizer step, by method.
        beside: Of a run beside its steps and its judging, by method: attaching the adapter, its bases, its checksum.
        validation: Of the loss on the validation rows.
        test: Of the loss on the test rows.
        answers: Of the generated answers, once for each method.
    """

    step: dict[str, float]
    beside: dict[str, float]
    validation: float
    test: float
    answers: float

    def run(self, names: Sequence[str], steps: int, judging: float) -> float:
        """Returns the mean seconds of a run of these methods."""
        return fmean(self.step[name] * steps + self.beside[name] for name in names) + judging


@dataclass(frozen=True)
class Pace:
    """How a comparison spends its time.

    Args:
        steps: Optimizer steps of the last runs.
        rungs: Those of each rung.
        rates: Most rates of a method in the search of a rung.
        seeds: Number of seeds of the last runs.
        seconds: Estimated time of the whole.
    """

    steps: int
    rungs: tuple[int, ...]
    rates: int
    seeds: int
    seconds: float


@dataclass(frozen=True)
class Shape:
    """What of a comparison decides its time besides the pace.

    Args:
        names: All methods.
        searched: Share of them whose rate is searched.
        halving: The halving.
        rates: Most rates of a search in the config.
        rung_seeds: Seeds of a rung.
        seeds: Least number of seeds of the last runs.
        most_seeds: Largest number.
        whole: Most steps of the last runs.
        workers: Processes that share the runs.
    """

    names: tuple[str, ...]
    searched: float
    halving: HalvingConfig
    rates: int
    rung_seeds: int
    seeds: int
    most_seeds: int
    whole: int
    workers: int

    def rungs(self, steps: int, number: int) -> tuple[int, ...]:
        """Returns the steps of the last `number` rungs."""
        return rung_steps(self.halving, steps)[-number:]

    def seconds(self, costs: Costs, steps: int, rungs: Sequence[int], rates: int, seeds: int) -> float:
        """Returns the estimated time of the whole comparison.

            sum over rungs of methods * runs a method * (steps * t + t_beside + t_validation)
            + finalists * seeds * (steps * t + t_beside + t_test),   each t the mean of all methods

        A search of at most k rates makes (3 + k) / 2 of them on average, as it stops at 3 where it began well.
        """
        finalists = self.halving.finalists or 2
        sizes = [len(self.names), *rung_sizes(len(self.names), finalists, len(rungs))]
        each = self.rung_seeds * (self.searched * (3 + rates) / 2 + 1 - self.searched)
        total = sum(
            size * each * costs.run(self.names, made, costs.validation)
            for size, made in zip(sizes, rungs, strict=False)
        )
        last = min(sizes[-1], len(self.names))
        total += last * (seeds * costs.run(self.names, steps, costs.test) + costs.answers)
        return (total + costs.test + costs.answers) / self.workers


def pace_of(costs: Costs, shape: Shape, left: float) -> Pace:
    """Returns the pace with the most steps that fit, and then with as many seeds as fit.

    Where fewer than `FEW_STEPS` fit, it saves rates and then a rung. Where even the last does not fit, the least is
    returned; its `seconds` are above `left`.

    Args:
        costs: As measured.
        shape: The comparison.
        left: The time that is left.
    """
    found = None
    for rates, number in ((shape.rates, 2), (3, 2), (3, 1)):
        rates = min(rates, shape.rates)
        steps = _most_steps(costs, shape, left, rates, number)
        rungs = shape.rungs(steps, number)
        seconds = shape.seconds(costs, steps, rungs, rates, shape.seeds)
        found = Pace(steps, rungs, rates, shape.seeds, seconds)
        if steps >= min(FEW_STEPS, shape.whole) and seconds <= left:
            break
    assert found is not None
    for seeds in range(shape.seeds + 1, shape.most_seeds + 1):
        seconds = shape.seconds(costs, found.steps, found.rungs, found.rates, seeds)
        if seconds > left:
            break
        found = replace(found, seeds=seeds, seconds=seconds)
    return found


def _most_steps(costs: Costs, shape: Shape, left: float, rates: int, number: int) -> int:
    """Returns the largest number of steps whose estimate fits, by bisection; at least `LEAST_STEPS`."""
    low, high = min(LEAST_STEPS, shape.whole), shape.whole
    while low < high:
        middle = (low + high + 1) // 2
        fits = shape.seconds(costs, middle, shape.rungs(middle, number), rates, shape.seeds) <= left
        low, high = (middle, high) if fits else (low, middle - 1)
    return low


def paced(context: Context, plan: Plan, before: float) -> tuple[Context, Plan, Pace]:
    """Returns what the runs share and the plan, with the steps, rates and seeds that the budget of time allows.

    They are decided once and kept in the output folder, so that a comparison that was stopped goes on with them.

    Args:
        context: What the runs share.
        plan: The plan, with halving and a budget of time.
        before: Seconds since the command began.

    Raises:
        QweftError: The file is damaged, or was made with another budget.
    """
    workers = plan.workers or int(getattr(context.executor, "workers", 1))
    task = partial(_decided, context, plan, workers, before)
    pace = next(found for _, found in done_by_any([task], context.executor.wait))
    training = replace(context.settings.training, max_steps=pace.steps)
    context = replace(context, settings=replace(context.settings, training=training))
    halving = replace(plan.halving, rungs=list(pace.rungs))
    return context, replace(plan, halving=halving, grid=replace(plan.grid, most=pace.rates)), pace


def _decided(context: Context, plan: Plan, workers: int, before: float) -> Pace | None:
    """Returns the pace; `None` while another process decides."""
    path = context.output / FILE
    with claimed(context.output) as ours:
        if not ours:
            return None
        if os.path.lexists(path):
            return _read(path, plan)[0]
        begun = clock()
        context.console.say(f"timing a step of {many(len(plan.methods), 'method')}")
        found = context.executor.call(context, measured, plan.methods, plan.grid.seeds[0])
        costs = costs_of(context, found)
        before += clock() - begun
        left = (plan.budget.seconds or 0.0) - before
        pace = pace_of(costs, shape_of(context, plan, workers), left)
        write_json(path, {
            "seconds": plan.budget.seconds, "before": before, "workers": workers, "pace": asdict(pace),
            "costs": asdict(costs),
        })  # fmt: skip
        return pace


def with_seeds(context: Context, plan: Plan, methods: Sequence[Method], pace: Pace) -> Plan:
    """Returns the plan with as many seeds of the last runs as the time that the rungs left allows.

    The time that was spent is the sum of what the rungs' runs took, so that every process and every later start finds
    the same number. Further seeds are the smallest whole numbers that are unused.

    Args:
        context: What the runs share.
        plan: From `paced`.
        methods: The finalists.
        pace: From `paced`.
    """
    _, costs, record = _read(context.output / FILE, plan)
    workers = int(record["workers"])
    records = (read_record(path)[1] for path in sorted(context.output.glob(f"{FOLDERS}*/*/{RECORD}")))
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


def measured(context: Context, methods: Sequence[Method], seed: int) -> dict[str, tuple[float, float]]:
    """Returns seconds of a step and of a run beside its steps, by method, and of an evaluated token as ("", 0).

    Args:
        context: What the runs share, with the base model's weights.
        methods: The methods.
        seed: Seed of the timed trainings.
    """
    found = {"": (seconds_of_a_token(context) or SHORTEST, 0.0)}
    for method in methods:
        timed_fit(context, method, seed, WARM)  # the first one compiles and fills caches
        begun = clock()
        fitted = timed_fit(context, method, seed, TIMED)
        whole, step = clock() - begun, fitted.step_seconds_median or SHORTEST
        found[method.name] = (step, max(0.0, whole - TIMED * step))
    return found


def costs_of(context: Context, found: Mapping[str, tuple[float, float]]) -> Costs:
    """Returns the costs of a comparison's parts from what was measured."""
    token, data, judging = found[""][0], context.data, context.settings.evaluation
    return Costs(
        step={name: step for name, (step, _) in found.items() if name},
        beside={name: beside for name, (_, beside) in found.items() if name},
        validation=token * tokens(data.validation),
        test=token * tokens(data.test),
        answers=token * GENERATED * min(judging.answers, len(data.test)) * judging.max_new_tokens,
    )


def shape_of(context: Context, plan: Plan, workers: int) -> Shape:
    """Returns what of a comparison decides its time besides the pace."""
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
    )


def pace_said(pace: Pace, plan: Plan) -> str:
    """Returns the plan of the time as text."""
    rungs = " and ".join(map(str, pace.rungs))
    finalists = min(plan.halving.finalists or 2, len(plan.methods))
    told = (
        f"{many(len(plan.methods), 'method')} in rungs of {rungs} steps, then {finalists} for {pace.steps} steps at "
        f"{many(pace.seeds, 'seed')}: about {duration(pace.seconds)}"
    )
    limit = plan.budget.seconds or 0.0
    if pace.seconds > limit:
        return f"{told}, which is more than the budget of {duration(limit)}: it is the least that compares them"
    return f"{told}, within the budget of {duration(limit)}"


WAY = "remove that file and the folders rung-*, and the budget is planned anew"


def _read(path: Path, plan: Plan) -> tuple[Pace, Costs, dict[str, Any]]:
    """Returns the plan that is kept, the costs that it is made of, and the whole record."""
    record = read_json(path, WAY)
    try:
        pace = Pace(**{**record["pace"], "rungs": tuple(map(int, record["pace"]["rungs"]))})
        costs = Costs(**record["costs"])
        step, beside = ({name: float(each) for name, each in part.items()} for part in (costs.step, costs.beside))
        costs = Costs(step, beside, float(costs.validation), float(costs.test), float(costs.answers))
        numbers = [*costs.step.values(), *costs.beside.values(), costs.validation, costs.test, costs.answers]
        sizes = (pace.steps, pace.rates, pace.seeds, int(record["workers"]), *pace.rungs)
        if not all(0 <= float(each) < LONGEST for each in (*numbers, pace.seconds, record["before"])):
            raise ValueError("a time that nothing takes")
        if min(sizes) < 1 or not pace.rungs or min(costs.step.values()) <= 0:
            raise ValueError("a number below 1")
        if not {method.name for method in plan.methods} <= costs.step.keys() & costs.beside.keys():
            raise ValueError("it was made for other methods")
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise QweftError(f"{path} is damaged, or of another comparison ({str(error)[:200]}); {WAY}") from error
    if record["seconds"] != plan.budget.seconds:
        raise QweftError(
            f"{path} has the plan of another budget, {duration(float(record['seconds']))}; give another --output, or "
            f"{WAY}"
        )
    return pace, costs, record


clock = time.perf_counter
"""The time, which tests replace."""
