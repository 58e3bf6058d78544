"""`Plan`: a comparison resolved and checked before any training."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import count, islice

from qweft.comparison.checks import check_rungs, check_start
from qweft.comparison.config import ComparisonConfig, HalvingConfig
from qweft.comparison.methods import Method, resolve_methods
from qweft.comparison.rates import Losses, following, next_rate
from qweft.comparison.statistics import ONCE, Look
from qweft.comparison.summarise import levels
from qweft.comparison.timing import Budget, budget_of
from qweft.errors import QweftError
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

    def following(self, losses: Losses, start: float) -> list[float]:
        """Return the rates to try after those that have losses: of a list, or by factors of two from a start."""
        if self.rates:
            return following(losses, self.rates, self.most)
        rate = next_rate(losses, start, self.most)
        return [] if rate is None else [rate]

    @property
    def trainings(self) -> tuple[int, int]:
        """Number of trainings of one method: at least, at most."""
        return (len(self.rates) or 3) * len(self.seeds), self.most * len(self.seeds)


@dataclass(frozen=True)
class Plan:
    """A comparison with every `None` of its config resolved; a budget of time changes what it holds beside that."""

    config: ComparisonConfig
    shapes: LoadedModel
    methods: tuple[Method, ...]
    looks: tuple[tuple[int, ...], ...]
    reference: str
    grid: Grid
    halving: HalvingConfig
    budget: Budget = field(default_factory=Budget)
    too_large: tuple[Method, ...] = ()
    too_slow: tuple[str, ...] = ()

    @property
    def untried(self) -> list[str]:
        """Names of the methods that the budget leaves out."""
        return [*(method.name for method in self.too_large), *self.too_slow]

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds of the first look."""
        return self.looks[0]

    @property
    def judging(self) -> list[Look]:
        """How each look judges."""
        if len(self.looks) == 1:
            return [ONCE]
        shares = levels([len(seeds) for seeds in self.looks])
        pairs = enumerate(zip(self.looks, shares, strict=True), 1)
        return [Look(None, level, seeds, number, len(shares)) for number, (seeds, level) in pairs]

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
    budget = budget_of(config.budget)
    methods, too_large = within(resolve_methods(config, shapes.model), budget, config.search)
    return Plan(
        config=config,
        shapes=shapes,
        methods=methods,
        looks=planned_looks(config),
        reference=config.reference if any(each.name == config.reference for each in methods) else methods[0].name,
        grid=_grid(config),
        halving=config.halving,
        budget=budget,
        too_large=too_large,
    )


def within(methods: Sequence[Method], budget: Budget, search: bool) -> tuple[tuple[Method, ...], tuple[Method, ...]]:
    """Return the methods of at most so many trained parameters, and the others; a LoRA leads where some may go."""
    most = budget.parameters
    kept = [each for each in methods if most is None or each.trainable_parameters <= most]
    if not kept:
        least = min(methods, key=lambda each: each.trainable_parameters)
        raise QweftError(
            f"budget: every method trains more than {most:,} parameters; the smallest, {least.name}, trains "
            f"{least.trainable_parameters:,}"
        )
    large = tuple(each for each in methods if each not in kept)
    first = next(filter(_is_lora, kept), None)
    if budget.seconds is not None or any(map(_is_lora, large)):
        kept.sort(key=lambda each: each is not first)
    return only(methods, kept, search), large


def _is_lora(method: Method) -> bool:
    return method_of(method.adapter) == "LORA"


def only(methods: Sequence[Method], kept: Sequence[Method], search: bool) -> tuple[Method, ...]:
    """Return the methods that are kept; one that used the rate of another one that is not has its own."""
    names = {each.name for each in kept}
    return tuple(
        each if each.rate_of is None or each.rate_of in names else replace(each, rate_of=None, searched=search)
        for each in kept
    )


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
        check_rungs(halving.rungs, whole)
        return tuple(halving.rungs)
    return tuple(sorted({max(1, round(whole / 4)), max(1, round(whole / 2))}))


def rung_sizes(methods: int, finalists: int, rungs: int) -> list[int]:
    """Return max(finalists, ceil(methods * (finalists / methods)^(j / rungs))), most methods after each rung j."""
    share = min(1.0, finalists / methods)
    sizes = (math.ceil(methods * share ** (number / rungs) - 1e-9) for number in range(1, rungs + 1))
    return [max(finalists, size) for size in sizes]


def planned_looks(config: ComparisonConfig) -> tuple[tuple[int, ...], ...]:
    """Return the seeds at each look: those of the config, with `most_seeds` also twice as many each time."""
    seeds = tuple(config.seeds)
    looks = [seeds]
    unused = (seed for seed in count() if seed not in seeds)
    while config.most_seeds is not None and len(looks[-1]) < config.most_seeds:
        more = min(len(looks[-1]), config.most_seeds - len(looks[-1]))
        looks.append((*looks[-1], *islice(unused, more)))
    return tuple(looks)
