"""`Summary`: the results of one method over its seeds."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from statistics import fmean, median, stdev
from typing import Any

from qweft.comparison.judge.forgetting import Forgetting, summarise_forgetting
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

LARGEST_EXPONENT = 700
"""Perplexity is infinite for a larger loss: exp overflows above 709."""


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
    forgetting: Forgetting | None = None
    equivalent_within: float | None = None  # margin in percent
    analyses: Mapping[str, InterimAnalysis] = field(default_factory=dict)  # by the other method's name
    analyses_made: tuple[InterimAnalysis, ...] = ()  # empty if a single one was planned

    @property
    def losses(self) -> dict[int, float | None]:
        """The held-out loss by seed."""
        return dict(zip(self.seeds, self.eval_losses, strict=True))

    @property
    def by_seed(self) -> SeedLosses:
        """The held-out losses by seed, of the whole and of groups of dependent rows."""
        return SeedLosses(self.losses, dict(zip(self.seeds, self.eval_row_losses, strict=True)))

    def to_json(self) -> dict[str, Any]:
        """Return it as in results.json, without row losses: the runs hold them."""
        record = asdict(replace(self, eval_row_losses=(), difference=NOT_COMPARED))
        del record["eval_row_losses"]
        record["difference"] = self.difference.to_json()
        record["looks"] = record.pop("analyses")
        record["looks_made"] = record.pop("analyses_made")
        return record


def compare_methods(method: Summary, other: Summary, analysis: InterimAnalysis | None = None) -> PairedComparison:
    """Compare two methods; without an analysis by that of the family of questions, or else uncorrected."""
    analysis = analysis or method.analyses.get(other.method, SINGLE_ANALYSIS)
    return compare_losses(method.by_seed, other.by_seed, analysis, method.equivalent_within)


def summarise_method(
    runs: Sequence[Run], reference: str, reference_runs: Sequence[Run], base_run: Run | None
) -> Summary:
    """Return the summary of one method's runs, beside those of the reference and the base model's one.

    Args:
        runs: The method's, in the order of their seeds.
        reference: Name of the reference.
        reference_runs: Its runs; empty if it has none.
        base_run: The base model's run, from which forgetting is told.
    """
    first = runs[0]
    losses = [run.eval_loss for run in runs]
    mean_loss = mean_of_all(losses)
    is_base = first.method == BASE
    # The base model has one run, which stands for every seed.
    paired_runs = [replace(first, seed=run.seed) for run in reference_runs] if is_base else runs
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
        trainable_parameters=first.trainable_parameters,
        parameter_difference=_parameter_difference(first, reference_runs),
        late_train_loss=mean_of_all([run.late_train_loss for run in runs]),
        eval_losses=tuple(losses),
        eval_row_losses=tuple(run.independent_losses for run in runs),
        eval_loss=mean_loss,
        eval_loss_deviation=_deviation_of_all(losses),
        perplexity=_perplexity(mean_loss),
        diverged=losses.count(None),
        difference=compare_losses(losses_by_seed(paired_runs), losses_by_seed(reference_runs)),
        step_seconds=_median_of_known([run.step_seconds_median for run in runs]),
        cpu_by_others=most_by_others(runs),
        peak_memory_bytes=_median_of_known([run.peak_memory_bytes for run in runs]),
        adapter_bytes=_median_of_known([run.adapter_bytes for run in runs]),
        forgetting=summarise_forgetting(runs, None if is_base else base_run),
    )


def losses_by_seed(runs: Sequence[Run]) -> SeedLosses:
    """Return the held-out losses of a method's runs."""
    totals = {run.seed: run.eval_loss for run in runs}
    return SeedLosses(totals, {run.seed: run.independent_losses for run in runs})


def mean_of_all(values: Sequence[float | None]) -> float | None:
    """Return the arithmetic mean; `None` if a value is missing, since the rest would flatter what diverged."""
    known = [value for value in values if value is not None]
    return fmean(known) if len(known) == len(values) else None


def _deviation_of_all(values: Sequence[float | None]) -> float | None:
    """Return the sample standard deviation (denominator n - 1); `None` if one is missing, or with fewer than two."""
    known = [value for value in values if value is not None]
    return stdev(known) if 1 < len(known) == len(values) else None


def _median_of_known(values: Sequence[float | None]) -> float | None:
    """Return the median of the runs that measured it; `None` without one."""
    known = [value for value in values if value is not None]
    return float(median(known)) if known else None


def _perplexity(loss: float | None) -> float | None:
    """Return exp(loss)."""
    if loss is None:
        return None
    return math.exp(loss) if loss < LARGEST_EXPONENT else math.inf


def _parameter_difference(run: Run, reference_runs: Sequence[Run]) -> float | None:
    """Return by how many percent a method has more trainable parameters than the reference."""
    if not reference_runs or not reference_runs[0].trainable_parameters:
        return None
    return 100 * (run.trainable_parameters / reference_runs[0].trainable_parameters - 1)
