"""Summaries of the runs of a comparison, method by method."""

import math
from collections.abc import Sequence
from dataclasses import replace
from statistics import median

from qweft.comparison.family import judged
from qweft.comparison.method_kinds import core_of, kind_of, maps_of
from qweft.comparison.results import BASE, Run
from qweft.comparison.speed import doubt_on, most_by_others, ratio_interval
from qweft.comparison.statistics import ONCE, Look, Pairing, deviation, mean, pair
from qweft.comparison.summary import Forgotten, Summary
from qweft.errors import QweftError
from qweft.evaluation.row_scores import ratio


def summarise(
    runs: Sequence[Run],
    reference: str = "lora",
    equivalent_within: float | None = None,
    looks: Sequence[Look] = (ONCE,),
    is_strict: bool = False,
) -> dict[str, Summary]:
    """Return a summary of each method, in the order in which the methods first appear, the base model first."""
    groups = _grouped(runs)
    base = groups.get(BASE)
    ordered = ([BASE] if base else []) + [name for name in groups if name != BASE]
    against = groups.get(reference)
    untouched = base[0] if base else None
    made = {name: _summary(name, groups[name], reference, against, untouched) for name in ordered}
    return judged(
        {name: replace(each, equivalent_within=equivalent_within) for name, each in made.items()}, looks, is_strict
    )


def _grouped(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """Return runs by method, seeds ascending; raises if they do not belong together."""
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
    rows = {run.eval_row_groups for run in runs if run.eval_row_groups}
    if len(rows) > 1 or any(rows and len(run.eval_row_losses) not in (0, *map(len, rows)) for run in runs):
        raise QweftError(
            "the runs do not agree on which test rows belong together (eval_row_groups): compare them one at a time"
        )
    groups: dict[str, list[Run]] = {}
    for run in runs:
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


def _summary(method: str, runs: list[Run], reference: str, others: list[Run] | None, untouched: Run | None) -> Summary:
    """Return one method's summary, with differences from the reference and forgetting against the base model."""
    first, against = runs[0], others[0] if others else None
    finite = [run.eval_loss for run in runs if run.eval_loss is not None]
    diverged = len(runs) - len(finite)
    loss = mean(finite) if not diverged else None
    train = [run.late_train_loss for run in runs if run.late_train_loss is not None]
    at_each_seed = [replace(first, seed=run.seed) for run in others or []]
    pairing = _pairing(at_each_seed if method == BASE else runs, others or [])
    is_whole = not diverged and all(run.eval_loss is not None for run in others or [])
    seconds, other_seconds = _middle(runs, "step_seconds_median"), _middle(others, "step_seconds_median")
    memory, other_memory = _middle(runs, "peak_memory_bytes"), _middle(others, "peak_memory_bytes")
    timed = seconds is not None and other_seconds is not None
    size = first.trainable_parameters
    size_ratio = _ratio(size, against.trainable_parameters if against else None)
    return Summary(
        method=method,
        kind=kind_of(method, first.adapter),
        core=core_of(first.adapter),
        maps=maps_of(first.adapter),
        adapter=first.adapter,
        reference=reference,
        seeds=tuple(run.seed for run in runs),
        rank=(first.adapter or {}).get("r"),
        learning_rate=first.learning_rate,
        steps=max(run.steps for run in runs),
        matches_time=(first.budget or {}).get("matches_time"),
        trainable_parameters=size,
        parameter_difference=None if size_ratio is None else 100 * (size_ratio - 1),
        late_train_loss=mean(train) if len(train) == len(runs) else None,
        late_train_loss_deviation=deviation(train) if len(train) == len(runs) else None,
        eval_losses=tuple(run.eval_loss for run in runs),
        eval_row_losses=tuple(run.independent_losses for run in runs),
        eval_loss=loss,
        eval_loss_deviation=deviation(finite) if not diverged else None,
        perplexity=None if loss is None else (math.exp(loss) if loss < 700 else math.inf),
        diverged=diverged,
        eval_loss_differences=pairing.differences,
        eval_loss_difference=pairing.mean if is_whole else None,
        eval_loss_difference_deviation=pairing.spread if is_whole else None,
        eval_loss_difference_interval=pairing.interval,
        eval_loss_difference_visible=pairing.visible,
        eval_loss_difference_p_value=pairing.p_value,
        step_seconds=seconds,
        step_time_ratio=_ratio(seconds, other_seconds),
        peak_memory_bytes=memory,
        memory_ratio=_ratio(memory, other_memory),
        adapter_bytes=_middle(runs, "adapter_bytes"),
        forgetting=forgotten(runs, None if method == BASE else untouched),
        step_time_interval=ratio_interval(runs, others or []) if timed else None,
        step_time_doubt=doubt_on(runs, others or []) if timed and method != reference else None,
        cpu_by_others=most_by_others(runs),
        matched_beside=(first.budget or {}).get("cpu_by_others"),
    )


def _pairing(runs: Sequence[Run], others: Sequence[Run]) -> Pairing:
    return pair(
        {run.seed: run.eval_loss for run in runs},
        {run.seed: run.eval_loss for run in others},
        {run.seed: run.independent_losses for run in runs},
        {run.seed: run.independent_losses for run in others},
    )


def _middle(runs: list[Run] | None, name: str) -> float | None:
    """Return the median of a field over the runs that measured it."""
    values = [value for value in (getattr(run, name) for run in runs or []) if value is not None]
    return float(median(values)) if values else None


def _ratio(value: float | None, other: float | None) -> float | None:
    """Return the quotient, or `None` if either value is missing or the divisor is zero."""
    return value / other if value is not None and other else None


def forgotten(runs: Sequence[Run], base: Run | None) -> Forgotten | None:
    """Return a method's forgetting; `None` if it was not measured in all of its runs."""
    found = [run.forgetting for run in runs if run.forgetting is not None]
    losses = [entry["loss"] for entry in found if entry["loss"] is not None]
    if not losses or len(losses) < len(runs):
        return None
    source = str(found[0]["source"])
    loss, spread = math.fsum(losses) / len(losses), deviation(losses)
    if base is None or base.forgetting is None:
        return Forgotten(source, loss, deviation=spread)
    before = base.forgetting["row_losses"]
    after = [entry["row_losses"] for entry in found]
    if any([tokens for _, tokens in rows] != [tokens for _, tokens in before] for rows in after):
        raise QweftError("the runs' forgetting was measured on different rows: compare them one at a time")
    rows = [
        (math.fsum(row[0] for row in each) / len(each) - theirs, tokens)
        for (theirs, tokens), each in zip(before, zip(*after, strict=True), strict=True)
    ]
    rise, error = ratio(rows)
    return Forgotten(source, loss, rise, error, spread)
