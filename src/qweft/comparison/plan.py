"""`Plan`: a comparison resolved and checked before any training."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import count, islice
from typing import Any

from qweft.comparison.checks import check_start
from qweft.comparison.config import ComparisonConfig, HalvingConfig
from qweft.comparison.judge.corrections import interim_levels
from qweft.comparison.judge.rates import Losses, next_rate, next_rates
from qweft.comparison.judge.statistics import SINGLE_ANALYSIS, InterimAnalysis
from qweft.comparison.methods import Method, resolve_methods
from qweft.comparison.timing import Budget, budget_of
from qweft.core.errors import QweftError
from qweft.core.text import many
from qweft.method.specification import method_of
from qweft.models.load import LoadedModel, load_model

EXTENSIONS = 3
"""How many times a list of rates may grow beyond an end at which the best rate lies."""

SEEDS_OF_THE_SEARCH = 1000
"""First seed of a search without a list of rates: far from those of a comparison, which may get more of them."""


@dataclass(frozen=True)
class Grid:
    """What the search for learning rates tries."""

    rates: tuple[float, ...]
    seeds: tuple[int, ...]
    steps: int | None
    most: int = 12

    def next_rates(self, losses: Losses, start: float) -> list[float]:
        """Return the rates to try after those that have losses: of a list, or by factors of two from a start."""
        if self.rates:
            return next_rates(losses, self.rates, self.most)
        rate = next_rate(losses, start, self.most)
        return [] if rate is None else [rate]

    @property
    def trainings(self) -> int:
        """The most trainings of one method."""
        return self.most * len(self.seeds)


@dataclass(frozen=True)
class Plan:
    """A comparison with every `None` of its config resolved; a budget of time changes what it holds beside that."""

    config: ComparisonConfig
    shapes: LoadedModel
    methods: tuple[Method, ...]
    analysis_seeds: tuple[tuple[int, ...], ...]  # at each interim analysis
    reference: str
    grid: Grid
    untried: tuple[Method, ...] = ()  # those that the budget leaves out

    @property
    def budget(self) -> Budget:
        """What the comparison may cost."""
        return budget_of(self.config.budget)

    @property
    def finalists(self) -> int:
        """The most methods that are judged on the test rows."""
        return min(self.config.halving.finalists or len(self.methods), len(self.methods))

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds of the first interim analysis."""
        return self.analysis_seeds[0]

    def keeping(self, methods: Sequence[Method], **changes: Any) -> "Plan":
        """Return the plan with these methods alone; one that used the rate of another one that is not has its own."""
        names = [each.name for each in methods]
        own = tuple(
            each if each.rate_of in (None, *names) else replace(each, rate_of=None, searched=self.config.search)
            for each in methods
        )
        left_out = (*self.untried, *(each for each in self.methods if each.name not in names))
        reference = self.reference if self.reference in names else names[0]
        return replace(self, methods=own, untried=left_out, reference=reference, **changes)

    @property
    def analyses(self) -> list[InterimAnalysis]:
        """The interim analyses, or a single one."""
        planned = len(self.analysis_seeds)
        if planned == 1:
            return [SINGLE_ANALYSIS]
        levels = interim_levels([len(seeds) for seeds in self.analysis_seeds])
        numbered = zip(range(1, planned + 1), self.analysis_seeds, levels, strict=True)
        return [
            InterimAnalysis(level=level, seeds=seeds, number=number, planned=planned)
            for number, seeds, level in numbered
        ]

    @property
    def title(self) -> str:
        """The model and the data in words, with the evaluation data if they differ."""
        data = self.config.data
        judged = data.source_of(self.config.evaluation.split)
        there = f", judged on {judged}" if judged != data.source else ""
        return f"{self.config.model.name} on {data.source}{there}"


def resolve(config: ComparisonConfig) -> Plan:
    """Check a comparison and return its plan; only the shapes of the model are loaded, and nothing is written."""
    check_start(config)
    shapes = load_model(replace(config.model, device="meta"))
    methods = tuple(resolve_methods(config, shapes.model))
    plan = Plan(config, shapes, methods, plan_analysis_seeds(config), config.reference, _grid(config))
    return plan if config.budget is None else within(plan)


def within(plan: Plan) -> Plan:
    """Return the plan with the methods of at most so many trained parameters; a LoRA leads, as the last ones may go."""
    most = math.inf if plan.budget.parameters is None else plan.budget.parameters
    kept = [each for each in plan.methods if each.trainable_parameters <= most]
    if not kept:
        least = min(plan.methods, key=lambda each: each.trainable_parameters)
        raise QweftError(
            f"budget: every method trains more than {most:,} parameters; the smallest, {least.name}, trains "
            f"{least.trainable_parameters:,}"
        )
    first = next((each for each in kept if method_of(each.adapter) == "LORA"), None)
    return plan.keeping(sorted(kept, key=lambda each: each is not first))


def _grid(config: ComparisonConfig) -> Grid:
    """Return what the search tries; with halving or without a list of rates at seeds that are not judged."""
    others = (seed for seed in count(SEEDS_OF_THE_SEARCH) if seed not in config.seeds)
    if config.rates is not None:
        rates = tuple(sorted({float(rate) for rate in config.rates}))
        own = config.seeds if config.halving.finalists is None else others  # those chosen here are judged at fresh ones
        seeds = tuple(islice(own, config.search_seeds or 1))
        return Grid(rates, seeds, config.search_steps, len(rates) + EXTENSIONS)
    return Grid((), tuple(islice(others, config.search_seeds or 2)), config.search_steps, config.search_rates)


def rung_steps(halving: HalvingConfig, whole: int) -> tuple[int, ...]:
    """Return the steps of each rung."""
    if halving.rungs is not None:
        if halving.rungs[-1] >= whole:  # only known with the data
            raise QweftError(
                f"halving.rungs must be shorter than the last runs, which have {many(whole, 'step')}, got "
                f"{halving.rungs[-1]}; lower them, or leave them out"
            )
        return tuple(halving.rungs)
    return tuple(sorted({max(1, round(whole / 4)), max(1, round(whole / 2))}))


def rung_sizes(methods: int, finalists: int, rungs: int) -> list[int]:
    """Return max(finalists, ceil(methods * (finalists / methods)^(j / rungs))), most methods after each rung j."""
    share = min(1.0, finalists / methods)
    sizes = (math.ceil(methods * share ** (number / rungs) - 1e-9) for number in range(1, rungs + 1))
    return [max(finalists, size) for size in sizes]


def plan_analysis_seeds(config: ComparisonConfig) -> tuple[tuple[int, ...], ...]:
    """Return the seeds at each interim analysis: those of the config, then twice as many up to `most_seeds`."""
    most = config.most_seeds or 0
    analysis_seeds = [tuple(config.seeds)]
    while len(analysis_seeds[-1]) < most:
        seeds = analysis_seeds[-1]
        analysis_seeds.append(more_seeds(seeds, min(2 * len(seeds), most)))
    return tuple(analysis_seeds)


def more_seeds(seeds: Sequence[int], number: int) -> tuple[int, ...]:
    """Return at least so many seeds: the given ones, and the lowest others."""
    others = (seed for seed in count() if seed not in seeds)
    return (*seeds, *islice(others, max(0, number - len(seeds))))
