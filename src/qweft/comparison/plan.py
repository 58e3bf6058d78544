"""A comparison resolved and checked before anything is trained: `Plan`, with a part for each stage."""

from dataclasses import dataclass, replace
from pathlib import Path

from qweft.comparison.config import ComparisonConfig
from qweft.comparison.context import RunSettings
from qweft.comparison.methods import Method, check_comparison, resolve_methods
from qweft.data.load import check_places
from qweft.evaluation.config import EvaluationConfig
from qweft.files import check_can_be_written, check_writable
from qweft.models.load import LoadedModel, load_model


@dataclass(frozen=True)
class Grid:
    """What the search for learning rates tries.

    Args:
        rates: Different learning rates, rising.
        seeds: A rate is judged by the mean loss over these.
        steps: Steps of each training; `None` means those of the whole training, known once the data are read.
    """

    rates: tuple[float, ...]
    seeds: tuple[int, ...]
    steps: int | None


@dataclass(frozen=True)
class Plan:
    """A comparison as it is made: what each `None` of its config became.

    Args:
        settings: What the runs share.
        methods: With the ranks and learning rates that they are to have, as far as no search or timing chooses them.
        seeds: One run a method and seed.
        reference: The method that the others are measured against.
        search: Whether the runs begin with a search for learning rates.
        grid: What such a search tries.
        executor: "local" or "ray".
        workers: Processes or actors; `None` only on a cluster, which tells how many it has.
        shapes: The base model without its weights.
    """

    settings: RunSettings
    methods: tuple[Method, ...]
    seeds: tuple[int, ...]
    reference: str
    search: bool
    grid: Grid
    executor: str
    workers: int | None
    shapes: LoadedModel

    @property
    def title(self) -> str:
        """The model and the data in words: where they were learned, and where judged if elsewhere."""
        data = self.settings.data
        judged = data.source_of(self.settings.evaluation.split)
        there = f", judged on {judged}" if judged != data.source else ""
        return f"{self.settings.model.name} on {data.source}{there}"


def resolve(config: ComparisonConfig, dry: bool = False) -> Plan:
    """Check a comparison and say what it comes to; of the model only shapes are loaded.

    Args:
        config: As it was given.
        dry: Whether nothing may be written, the output folder included.

    Raises:
        QweftError: If anything in the config is wrong.
    """
    check_comparison(config)
    (check_can_be_written if dry else check_writable)(Path(config.output))
    check_places(config.data)
    shapes = load_model(replace(config.model, device="meta"))
    settings = RunSettings(
        config.model, config.data, config.training, config.evaluation, min(config.seeds), config.inspect, config.output
    )
    rates = tuple(sorted({float(rate) for rate in config.rates}))
    return Plan(
        settings=settings,
        methods=tuple(resolve_methods(config, shapes.model)),
        seeds=tuple(config.seeds),
        reference=config.reference,
        search=config.search,
        grid=Grid(rates, tuple(config.seeds[: config.search_seeds]), config.search_steps),
        executor=config.executor,
        workers=1 if config.workers is None and config.executor == "local" else config.workers,
        shapes=shapes,
    )


def resolve_search(config: ComparisonConfig, dry: bool = False) -> Plan:
    """The same of a search alone: judged on the validation rows, without the runs of a comparison.

    Methods that take over another's learning rate have no part in it.

    Raises:
        QweftError: If anything in the config is wrong.
    """
    judging: EvaluationConfig = replace(config.evaluation, split="validation", forgetting=None)
    # `search` and `inspect` belong to those runs
    return resolve(replace(config, evaluation=judging, search=False, inspect=False), dry)
