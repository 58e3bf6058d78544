"""`Summary`: the results of one method over its seeds."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from statistics import fmean, median, stdev
from typing import Any

from qweft.comparison.judge.statistics import (
    NOT_COMPARED,
    SINGLE_ANALYSIS,
    InterimAnalysis,
    PairedComparison,
    SeedLosses,
    compare_losses,
)
from qweft.comparison.method_kinds import Kind, core_of, kind_of, maps_of
from qweft.comparison.results import BASE, RowLosses, Run
from qweft.comparison.timing import most_by_others
from qweft.evaluation.scores import ratio


@dataclass(frozen=True)
class Forgotten:
    """One method's forgetting, measured on other data."""

    source: str
    loss: float
    rise: float | None = None  # loss minus the base model's; `None` for the base model, or without its run
    standard_error: float | None = None  # of the rise, over rows


@dataclass(frozen=True)
class Summary:
    """One method over its seeds: losses in nats per token, differences in percent, costs medians; `None` is missing."""

    method: str
    kind: Kind
    core: str | None  # "quantum_linear"; `None`, like `maps`, for other kinds of adapter
    maps: tuple[str, str] | None
    adapter: dict[str, Any] | None  # with the rank that was chosen for it
    reference: str
    seeds: tuple[int, ...]
    learning_rate: float | None
    steps: int  # of the longest run
    trainable_parameters: int
    parameter_difference: float | None  # in percent of the reference's
    late_train_loss: float | None
    eval_losses: tuple[float | None, ...]  # in the order of `seeds`
    eval_row_losses: tuple[RowLosses, ...]  # summed over groups of dependent rows
    eval_loss: float | None
    eval_loss_deviation: float | None
    perplexity: float | None  # exp(eval_loss), of the mean loss
    diverged: int  # seeds whose held-out loss is NaN or infinity
    difference: PairedComparison = NOT_COMPARED  # to the reference, at all shared seeds, corrected for no others
    step_seconds: float | None = None
    cpu_by_others: float | None = None  # largest share beside its steps
    peak_memory_bytes: float | None = None
    adapter_bytes: float | None = None
    forgetting: Forgotten | None = None
    equivalent_within: float | None = None  # margin in percent
    looks: Mapping[str, InterimAnalysis] = field(default_factory=dict)  # by the other method's name
    looks_made: tuple[InterimAnalysis, ...] = ()  # empty if it looked once

    @property
    def losses(self) -> dict[int, float | None]:
        """The held-out loss by seed."""
        return dict(zip(self.seeds, self.eval_losses, strict=True))

    @property
    def by_seed(self) -> SeedLosses:
        """The held-out losses by seed, of the whole and of groups of dependent rows."""
        return SeedLosses(self.losses, dict(zip(self.seeds, self.eval_row_losses, strict=True)))

    def to_json(self) -> dict[str, Any]:
        """Return the summary as a JSON-compatible dict, without row losses: the runs hold them."""
        record = asdict(replace(self, eval_row_losses=(), difference=NOT_COMPARED))
        del record["eval_row_losses"]
        return {**record, "difference": self.difference.to_json()}


def compare_methods(method: Summary, other: Summary, analysis: InterimAnalysis | None = None) -> PairedComparison:
    """Compare two methods; without an analysis by that of the family of questions, or else uncorrected."""
    analysis = analysis or method.looks.get(other.method, SINGLE_ANALYSIS)
    return compare_losses(method.by_seed, other.by_seed, analysis, method.equivalent_within)


def summary_of(runs: list[Run], reference: str, others: list[Run], untouched: Run | None) -> Summary:
    """Return one method's summary, with differences from the reference and forgetting against the base model."""
    first = runs[0]
    finite = [run.eval_loss for run in runs if run.eval_loss is not None]
    diverged = len(runs) - len(finite)
    loss = None if diverged else mean(finite)
    train = [run.late_train_loss for run in runs if run.late_train_loss is not None]
    # the base model has one run, which stands for every seed
    own = [replace(first, seed=run.seed) for run in others] if first.method == BASE else runs
    size, other_size = first.trainable_parameters, others[0].trainable_parameters if others else 0
    return Summary(
        method=first.method,
        kind=kind_of(first.method, first.adapter),
        core=core_of(first.adapter),
        maps=maps_of(first.adapter),
        adapter=first.adapter,
        reference=reference,
        seeds=tuple(run.seed for run in runs),
        learning_rate=first.learning_rate,
        steps=max(run.steps for run in runs),
        trainable_parameters=size,
        parameter_difference=100 * (size / other_size - 1) if other_size else None,
        late_train_loss=mean(train) if len(train) == len(runs) else None,
        eval_losses=tuple(run.eval_loss for run in runs),
        eval_row_losses=tuple(run.independent_losses for run in runs),
        eval_loss=loss,
        eval_loss_deviation=None if diverged else deviation(finite),
        perplexity=None if loss is None else (math.exp(loss) if loss < 700 else math.inf),
        diverged=diverged,
        difference=compare_losses(losses_by_seed(own), losses_by_seed(others)),
        step_seconds=_middle(runs, "step_seconds_median"),
        cpu_by_others=most_by_others(runs),
        peak_memory_bytes=_middle(runs, "peak_memory_bytes"),
        adapter_bytes=_middle(runs, "adapter_bytes"),
        forgetting=forgotten(runs, None if first.method == BASE else untouched),
    )


def losses_by_seed(runs: Sequence[Run]) -> SeedLosses:
    """Return the held-out losses of a method's runs."""
    totals = {run.seed: run.eval_loss for run in runs}
    return SeedLosses(totals, {run.seed: run.independent_losses for run in runs})


def mean(values: Sequence[float]) -> float | None:
    """Return the arithmetic mean, or `None` without values."""
    return fmean(values) if values else None


def deviation(values: Sequence[float]) -> float | None:
    """Return the sample standard deviation (denominator n - 1), or `None` with fewer than two values."""
    return stdev(values) if len(values) > 1 else None


def _middle(runs: list[Run], name: str) -> float | None:
    """Return the median of a field over the runs that measured it."""
    values = [value for value in (getattr(run, name) for run in runs) if value is not None]
    return float(median(values)) if values else None


def forgotten(runs: Sequence[Run], base: Run | None) -> Forgotten | None:
    """Return a method's forgetting; `None` if it was not measured in all of its runs."""
    found = [run.forgetting for run in runs if run.forgetting is not None]
    losses = [entry["loss"] for entry in found if entry["loss"] is not None]
    if not losses or len(losses) < len(runs):
        return None
    source = str(found[0]["source"])
    loss = math.fsum(losses) / len(losses)
    if base is None or base.forgetting is None:
        return Forgotten(source, loss)
    before = base.forgetting["row_losses"]
    after = [entry["row_losses"] for entry in found]
    rows = [
        (math.fsum(row[0] for row in each) / len(each) - theirs, tokens)
        for (theirs, tokens), each in zip(before, zip(*after, strict=True), strict=True)
    ]
    rise, error = ratio(rows)
    return Forgotten(source, loss, rise, error)
