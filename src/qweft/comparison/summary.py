"""The runs of a comparison summed up, method by method."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from statistics import median
from typing import Any

from qweft.comparison.forgetting import Forgotten, forgotten
from qweft.comparison.kinds import Kind, core_of, kind_of, maps_of
from qweft.comparison.pairing import deviation, mean, paired
from qweft.comparison.results import BASE, RowLosses, Run
from qweft.comparison.verdicts import findings, verdicts
from qweft.errors import QweftError

__all__ = ["Summary", "findings", "summarise", "verdicts"]


@dataclass(frozen=True)
class Summary:
    """One method over its seeds.

    Losses are nats a token, differences percent, ratios method / reference. None stands for what cannot be said:
    a spread of one seed, a loss of a run that diverged, a difference without the reference.

    Args:
        method: Name of the method.
        kind: What it is: "base", "lora", "hybrid", "no_circuit", "twin" or "other".
        core: The core between its maps ("quantum_linear"); none where it is not of this family.
        maps: The maps around its core, "mpo" or "dense"; none where it is not of this family.
        adapter: Its specification, with the rank that was chosen for it; none where it was not recorded.
        reference: The method that it is held against.
        seeds: Its seeds, ascending.
        rank: The adapter's rank, where its specification says it.
        learning_rate: Peak learning rate.
        steps: Optimizer steps, of the longest run where one diverged and stopped.
        matches_time: The method whose wall-clock time its runs were given; none where steps are what is equal.
        trainable_parameters: Numbers that it trains.
        parameter_difference: 100 * (its parameters - the reference's) / the reference's.
        train_loss: Mean over seeds.
        train_loss_deviation: Sample standard deviation over seeds.
        eval_losses: Held-out loss at each seed, in the order of `seeds`.
        eval_row_losses: What they are made of, added up over test rows that belong together; empty where it was not
            recorded.
        eval_loss: Mean over seeds; none where a run diverged.
        eval_loss_deviation: Sample standard deviation over seeds.
        perplexity: exp(eval_loss), of the mean loss.
        diverged: Seeds whose held-out loss is not a finite number.
        eval_loss_differences: 100 * (loss - reference's at the same seed) / reference's mean, by paired seed.
        eval_loss_difference: Their mean.
        eval_loss_difference_deviation: Their sample standard deviation.
        eval_loss_difference_interval: Both ends of its 95% interval, as `Pairing` has it.
        eval_loss_difference_p_value: Of the sign-flip test.
        step_seconds: Median over seeds of the median step.
        step_time_ratio: To the reference's.
        peak_memory_bytes: Median over seeds.
        memory_ratio: To the reference's.
        adapter_bytes: Size of the adapter's file of weights, median over seeds.
        forgetting: The loss on other data and its rise; none where it was not measured.
    """

    method: str
    kind: Kind
    core: str | None
    maps: tuple[str, str] | None
    adapter: dict[str, Any] | None
    reference: str
    seeds: tuple[int, ...]
    rank: int | None
    learning_rate: float | None
    steps: int
    matches_time: str | None
    trainable_parameters: int
    parameter_difference: float | None
    train_loss: float | None
    train_loss_deviation: float | None
    eval_losses: tuple[float | None, ...]
    eval_row_losses: tuple[RowLosses, ...]
    eval_loss: float | None
    eval_loss_deviation: float | None
    perplexity: float | None
    diverged: int
    eval_loss_differences: tuple[float, ...]
    eval_loss_difference: float | None
    eval_loss_difference_deviation: float | None
    eval_loss_difference_interval: tuple[float, float] | None
    eval_loss_difference_p_value: float | None
    step_seconds: float | None
    step_time_ratio: float | None
    peak_memory_bytes: float | None
    memory_ratio: float | None
    adapter_bytes: float | None = None
    forgetting: Forgotten | None = None

    def to_json(self) -> dict[str, Any]:
        """The summary as a dict that JSON can hold, without the losses of single rows: they stand in the runs."""
        return {key: value for key, value in asdict(self).items() if key != "eval_row_losses"}


def summarise(runs: Sequence[Run], reference: str = "lora") -> dict[str, Summary]:
    """Sums the runs up by method, in the order in which the methods first appear, the base model first.

    The base model's loss has no seed: it is held against the reference at each of the reference's seeds.

    Args:
        runs: All runs of one comparison: one base model, one data set.
        reference: The method that the others are held against. Where it has no run (yet), what is relative is none.

    Raises:
        QweftError: There are no runs, they mix base models, data sets or test rows, a method and seed occurs twice,
            or the runs of a method differ in their number of parameters.
    """
    groups = _grouped(runs)
    base = groups.get(BASE)
    ordered = ([BASE] if base else []) + [name for name in groups if name != BASE]
    against = groups.get(reference)
    untouched = base[0] if base else None
    return {name: _summary(name, groups[name], reference, against, untouched) for name in ordered}


def _grouped(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """Runs by method, seeds ascending; raises where they do not belong together."""
    if not runs:
        raise QweftError("there is no run to sum up")
    for what in ("model", "data"):
        found = sorted({getattr(run, what) for run in runs})
        if len(found) > 1:
            raise QweftError(f"the runs are of more than one {what} ({', '.join(found)}): compare them one at a time")
    if len({tuple(tokens for _, tokens in run.eval_row_losses) for run in runs if run.eval_row_losses}) > 1:
        raise QweftError(
            "the runs were judged on different test rows, as their tokens differ: compare them one at a time"
        )
    groups: dict[str, list[Run]] = {}
    for run in _with_groups(runs):
        groups.setdefault(run.method, []).append(run)
    for method, group in groups.items():
        group.sort(key=lambda run: run.seed)
        seeds = [run.seed for run in group]
        if len(set(seeds)) < len(seeds):
            raise QweftError(f"the method {method!r} has more than one run at the same seed: seeds {seeds}")
        sizes = {run.trainable_parameters for run in group}
        if len(sizes) > 1:
            raise QweftError(f"the runs of the method {method!r} differ in trainable parameters: {sorted(sizes)}")
    return groups


def _with_groups(runs: Sequence[Run]) -> Sequence[Run]:
    """The runs, each with the groups of rows that some of them name: an earlier version wrote none."""
    found = {run.eval_row_groups for run in runs if run.eval_row_groups}
    if not found:
        return runs
    groups = found.pop()
    if found or any(len(run.eval_row_losses) not in (0, len(groups)) for run in runs):
        raise QweftError(
            "the runs do not agree on which test rows belong together (eval_row_groups): compare them one at a time"
        )
    return [replace(run, eval_row_groups=groups) for run in runs]


def _summary(method: str, runs: list[Run], reference: str, others: list[Run] | None, untouched: Run | None) -> Summary:
    """One method's runs held against the reference's, and what it forgot against the untouched model."""
    first, against = runs[0], others[0] if others else None
    losses = _losses(runs)
    finite = [loss for loss in losses.eval_losses if loss is not None]
    diverged = len(runs) - len(finite)
    loss = mean(finite) if not diverged else None
    train = [run.train_loss for run in runs if run.train_loss is not None]
    at_each_seed = [replace(first, seed=run.seed) for run in others or []]
    pairing = paired(_losses(at_each_seed) if method == BASE else losses, _losses(others or []))
    seconds, other_seconds = _middle(runs, "step_seconds_median"), _middle(others, "step_seconds_median")
    memory, other_memory = _middle(runs, "peak_memory_bytes"), _middle(others, "peak_memory_bytes")
    size = first.trainable_parameters
    size_ratio = _ratio(size, against.trainable_parameters if against else None)
    return Summary(
        method=method,
        kind=kind_of(method, first.adapter),
        core=None if method == BASE else core_of(method, first.adapter),
        maps=None if method == BASE else maps_of(method, first.adapter),
        adapter=first.adapter,
        reference=reference,
        seeds=losses.seeds,
        rank=(first.adapter or {}).get("r"),
        learning_rate=first.learning_rate,
        steps=max(run.steps for run in runs),
        matches_time=(first.budget or {}).get("matches_time"),
        trainable_parameters=size,
        parameter_difference=None if size_ratio is None else 100 * (size_ratio - 1),
        train_loss=mean(train) if len(train) == len(runs) else None,
        train_loss_deviation=deviation(train) if len(train) == len(runs) else None,
        eval_losses=losses.eval_losses,
        eval_row_losses=losses.eval_row_losses,
        eval_loss=loss,
        eval_loss_deviation=deviation(finite) if not diverged else None,
        perplexity=None if loss is None else (math.exp(loss) if loss < 700 else math.inf),
        diverged=diverged,
        eval_loss_differences=pairing.differences,
        eval_loss_difference=pairing.mean,
        eval_loss_difference_deviation=pairing.spread,
        eval_loss_difference_interval=pairing.interval,
        eval_loss_difference_p_value=pairing.p_value,
        step_seconds=seconds,
        step_time_ratio=_ratio(seconds, other_seconds),
        peak_memory_bytes=memory,
        memory_ratio=_ratio(memory, other_memory),
        adapter_bytes=_middle(runs, "adapter_bytes"),
        forgetting=forgotten(runs, None if method == BASE else untouched),
    )


@dataclass(frozen=True)
class _Losses:
    """What `paired` reads of a method's runs."""

    seeds: tuple[int, ...]
    eval_losses: tuple[float | None, ...]
    eval_row_losses: tuple[RowLosses, ...]


def _losses(runs: Sequence[Run]) -> _Losses:
    return _Losses(
        tuple(run.seed for run in runs),
        tuple(run.eval_loss for run in runs),
        tuple(run.independent_losses for run in runs),
    )


def _middle(runs: list[Run] | None, name: str) -> float | None:
    """Median over the runs of what was measured in each."""
    values = [value for value in (getattr(run, name) for run in runs or []) if value is not None]
    return float(median(values)) if values else None


def _ratio(value: float | None, other: float | None) -> float | None:
    """Their quotient, where both were measured."""
    return value / other if value is not None and other else None
