"""What a budget of time allows a halving, by measured step times: steps, rates, rungs and methods."""

import math
import os
import time
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import count, islice
from statistics import fmean

from pydantic import TypeAdapter, ValidationError
from transformers import set_seed

from qweft.adapter.attach import detach
from qweft.comparison.context import Context
from qweft.comparison.methods import Method, put_on
from qweft.comparison.plan import Plan, only, rung_sizes, rung_steps
from qweft.comparison.timing import duration
from qweft.comparison.trial import RECORD
from qweft.comparison.trial import read_record as read_run
from qweft.comparison.workers import alone
from qweft.data.tokens import Encoded
from qweft.errors import QweftError
from qweft.evaluation.loss import held_out_loss
from qweft.records import WRONG, read_record, write_record
from qweft.text import many, progress
from qweft.training.loop import Fit, fit

FILE = "budget.json"
WAY = "remove that file and the folders rung-*, and the budget is planned anew"
SHARE = 0.1
"""Share of the budget that timing may take."""
ENOUGH_STEPS, LEAST_STEPS = 30, 4
"""Below the first, rates, rungs and methods are saved: a choice after a few steps is a poor one. Fewer steps than the
second are never made."""
SAVING = (math.inf, 2), (3, 2), (3, 1)
"""Most rates of a search and rungs, saved one after another before methods are."""
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
    """Seconds of everything in a comparison, as measured: of a step and beside the steps by method, and of judging."""

    step: dict[str, float]
    beside: dict[str, float]
    validation: float
    test: float
    answers: float

    def run(self, names: Sequence[str], steps: int, judging: float) -> float:
        """Return the mean seconds of a run of these methods."""
        return fmean(self.step[name] * steps + self.beside[name] for name in names) + judging


@dataclass(frozen=True)
class Pace:
    """How a comparison spends its time."""

    steps: int
    rungs: tuple[int, ...]
    rates: int
    methods: int
    seconds: float = 0.0


@dataclass(frozen=True)
class Timed:
    """The content of budget.json, on which all processes agree: the pace, and what it is made of."""

    of: str
    before: float
    workers: int
    pace: Pace
    costs: Costs


@dataclass(frozen=True)
class Estimate:
    """The time of a comparison by its pace; `steps` are those of a whole training."""

    plan: Plan
    costs: Costs
    steps: int
    workers: int

    def seconds(self, pace: Pace) -> float:
        """Return the estimated time of the whole comparison: rungs, finalists, test and answers."""
        methods, costs = self.plan.methods[: pace.methods], self.costs
        names = [method.name for method in methods]
        sizes = [len(names), *rung_sizes(len(names), self.plan.halving.finalists or 2, len(pace.rungs))]
        searched = sum(method.searched for method in methods) / len(methods)
        each = len(self.plan.grid.seeds) * (searched * (3 + pace.rates) / 2 + 1 - searched)
        rungs = zip(sizes, pace.rungs, strict=False)
        total = sum(size * each * costs.run(names, steps, costs.validation) for size, steps in rungs)
        last = min(sizes[-1], len(names))
        total += last * (len(self.plan.seeds) * costs.run(names, pace.steps, costs.test) + costs.answers)
        return (total + costs.test + costs.answers) / self.workers

    def pace(self, left: float) -> Pace:
        """Return the pace with the most steps that fit; it saves only what it must for enough of them."""
        most = len(self.plan.methods)
        savings = [(*each, most) for each in SAVING]
        savings += [(*SAVING[-1], methods) for methods in range(most - 1, FEWEST - 1, -1)]
        possible = range(min(LEAST_STEPS, self.steps), self.steps + 1)
        for saving in savings:
            fitting = bisect_right(possible, left, key=lambda steps: self._at(steps, *saving).seconds)
            pace = self._at(possible[max(0, fitting - 1)], *saving)
            if pace.seconds <= left and pace.steps >= min(ENOUGH_STEPS, self.steps):
                break
        return pace

    def _at(self, steps: int, most_rates: float, rungs: int, methods: int) -> Pace:
        """Return the pace with so many steps."""
        rates = int(min(max(3, self.plan.grid.trainings[1] // len(self.plan.grid.seeds)), most_rates))
        pace = Pace(steps, rung_steps(self.plan.halving, steps)[-rungs:], rates, methods)
        return replace(pace, seconds=self.seconds(pace))


def with_pace(context: Context, plan: Plan, before: float) -> tuple[Context, Plan, Timed]:
    """Return what the runs share and the plan, with the steps, rates and methods that the time allows."""
    with alone(context.output):
        timed = _kept(context, plan) or _timed(context, plan, before)
    pace = timed.pace
    methods = only(plan.methods, plan.methods[: pace.methods], plan.config.search)
    plan = replace(
        plan,
        halving=replace(plan.halving, rungs=list(pace.rungs)),
        grid=replace(plan.grid, most=pace.rates),
        methods=methods,
        reference=plan.reference if any(each.name == plan.reference for each in methods) else methods[0].name,
        too_slow=tuple(each.name for each in plan.methods[pace.methods :]),
    )
    training = replace(context.config.training, max_steps=pace.steps)
    return replace(context, config=replace(context.config, training=training)), plan, timed


def _timed(context: Context, plan: Plan, before: float) -> Timed:
    """Time the methods, and set the pace."""
    begun, budget = clock(), plan.budget.seconds or 0.0
    context.console.say(f"timing a step of {many(len(plan.methods), 'method')}")
    costs: Costs = context.call(measured, plan.methods, plan.grid.seeds[0], SHARE * budget)
    before += clock() - begun
    pace = Estimate(plan, costs, context.steps, context.workers).pace(budget - before)
    timed = Timed(_of(context, plan), before, context.workers, pace, costs)
    write_record(context.output / FILE, asdict(timed))
    return timed


def _kept(context: Context, plan: Plan) -> Timed | None:
    """Return the plan that an earlier start of the same comparison made."""
    path = context.output / FILE
    if not os.path.lexists(path):
        return None
    try:
        timed = TypeAdapter(Timed).validate_python(read_record(path, WAY))
    except ValidationError as error:
        raise QweftError(f"{path} {WRONG}; {WAY}") from error
    if timed.of == _of(context, plan):
        return timed
    if next(context.output.glob(f"**/{RECORD}"), None) is None:
        return None
    raise QweftError(
        f"{path} has the plan of another budget, other rows, another model or other methods; give another --output, "
        f"or {WAY}"
    )


def _of(context: Context, plan: Plan) -> str:
    """Return a hash of what the times and numbers of steps depend on."""
    methods = [[method.name, method.adapter] for method in plan.methods]  # their order decides which are left out
    halving, seconds = asdict(plan.halving), plan.budget.seconds
    return context.fingerprint({"steps": context.steps, "methods": methods, "halving": halving, "seconds": seconds})


def with_seeds(context: Context, plan: Plan, timed: Timed) -> Plan:
    """Return the plan with as many seeds of the last runs as the time that the rungs left allows."""
    if len(plan.looks) > 1:
        return plan
    costs = timed.costs
    rungs = [read_run(path)[1] for path in sorted(context.output.glob(f"rung-*/*/{RECORD}"))]
    left = ((plan.budget.seconds or 0.0) - timed.before) * timed.workers - sum(run.seconds or 0.0 for run in rungs)
    left -= (len(plan.methods) + 1) * costs.answers + costs.test
    names = [method.name for method in plan.methods]
    fitting = int(left / (len(names) * costs.run(names, timed.pace.steps, costs.test)))
    seeds = max(len(plan.seeds), min(MOST_SEEDS, fitting))
    unused = (seed for seed in count() if seed not in plan.seeds)
    return replace(plan, looks=((*plan.seeds, *islice(unused, seeds - len(plan.seeds))),))


def measured(context: Context, methods: Sequence[Method], seed: int, most: float) -> Costs:
    """Return the costs by measurement; methods that come after so many seconds count as the mean of those before."""
    start, times = clock(), dict[str, tuple[float, float]]()
    data, judging = context.data, context.config.evaluation
    token = _seconds_of_a_token(context)
    _timed_fit(context, methods[0], seed)  # the first one compiles and fills caches
    for method in methods:
        if times and clock() - start > most:
            break
        begun = clock()
        step = _timed_fit(context, method, seed).step_seconds_median or 0.0
        times[method.name] = (step, max(0.0, clock() - begun - step))
    mean = fmean(step for step, _ in times.values()), fmean(beside for _, beside in times.values())
    return Costs(
        step={method.name: times.get(method.name, mean)[0] for method in methods},
        beside={method.name: times.get(method.name, mean)[1] for method in methods},
        validation=token * _tokens(data.validation),
        test=token * _tokens(data.test),
        answers=token * GENERATED * min(judging.answers, len(data.test)) * judging.max_new_tokens,
    )


def _tokens(rows: Sequence[Encoded]) -> int:
    return sum(len(row["input_ids"]) for row in rows)


def _seconds_of_a_token(context: Context) -> float:
    """Return the time that the base model takes for a token of an evaluation, on one batch."""
    batch = context.data.held_out(context.config.evaluation.split)[: context.config.evaluation.batch_size]
    if not batch:
        return 0.0
    with progress("timing the base model"):
        for _ in range(2):  # the first pass is slower than all others
            begun = time.perf_counter()
            held_out_loss(context.loaded.model, batch, context.loaded.tokenizer.pad_token_id, len(batch))
    return (time.perf_counter() - begun) / _tokens(batch)


def _timed_fit(context: Context, method: Method, seed: int) -> Fit:
    """Return the fit of a training of one step that changes nothing, for its times."""
    training = replace(context.config.training, max_steps=1, learning_rate=HARMLESS, seed=seed)
    set_seed(seed)
    adapted = put_on(context.loaded.model, method.adapter, 1)
    try:
        pad = context.loaded.tokenizer.pad_token_id
        return fit(adapted, context.data.train, pad, training, f"{method.name}, timing")
    finally:
        detach(adapted)


def pace_said(pace: Pace, plan: Plan) -> str:
    """Return the plan of the time as text."""
    rungs, limit = " and ".join(map(str, pace.rungs)), plan.budget.seconds or 0.0
    finalists = min(plan.halving.finalists or 2, len(plan.methods))
    text = (
        f"{many(pace.methods, 'method')} in rungs of {rungs} steps, then {finalists} for {pace.steps} steps at "
        f"{many(len(plan.seeds), 'seed')}: about {duration(pace.seconds)}"
    )
    if plan.too_slow:
        text = (
            f"left out, from the end of the list until the rest trains for {ENOUGH_STEPS} steps or {FEWEST} are left: "
            f"{', '.join(plan.too_slow)}; {text}"
        )
    if pace.seconds > limit:
        return f"{text}: more than the budget of {duration(limit)}, and the least that compares them"
    later = "seeds that are added until it is decided" if len(plan.looks) > 1 else "more seeds if time is left"
    return f"{text}, within the budget of {duration(limit)}; {later}"


clock = time.perf_counter
"""The time, which tests replace."""
