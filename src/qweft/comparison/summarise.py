"""Summaries of the runs of a comparison, method by method."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from statistics import median
from typing import Any

from qweft.comparison.family import judged
from qweft.comparison.method_kinds import core_of, kind_of, maps_of
from qweft.comparison.results import BASE, Run
from qweft.comparison.speed import most_by_others
from qweft.comparison.statistics import ONCE, Look, deviation, mean, pair
from qweft.comparison.summary import Forgotten, Summary
from qweft.errors import QweftError
from qweft.evaluation.scores import ratio


def summarise(
    runs: Sequence[Run],
    reference: str = "lora",
    equivalent_within: float | None = None,
    looks: Sequence[Look] = (ONCE,),
    is_strict: bool = False,
) -> dict[str, Summary]:
    """Return a summary of each method, in the order in which the methods first appear, the base model first."""
    check_alike(runs)
    groups: dict[str, list[Run]] = {}
    for run in sorted(runs, key=lambda run: run.method != BASE):
        groups.setdefault(run.method, []).append(run)
    for group in groups.values():
        group.sort(key=lambda run: run.seed)
    untouched = groups[BASE][0] if BASE in groups else None
    made = {name: _summary(group, reference, groups.get(reference, []), untouched) for name, group in groups.items()}
    margin = {name: replace(each, equivalent_within=equivalent_within) for name, each in made.items()}
    return judged(margin, looks, is_strict)


def check_alike(runs: Sequence[Run]) -> None:
    """Raise if runs do not belong to one comparison."""
    if not runs:
        raise QweftError("there is no run to sum up")
    judged_on = [run for run in runs if run.eval_row_losses]
    values: dict[str, set[Any]] = {
        "model": {run.model for run in runs},
        "data": {run.data for run in runs},
        "test rows": {tuple(tokens for _, tokens in run.eval_row_losses) for run in judged_on},
        "groups of test rows": {run.eval_row_groups for run in judged_on},
    }
    for what, found in values.items():
        if len(found) > 1:
            raise QweftError(f"the runs differ in their {what}: compare them one at a time")
    if any(run.eval_row_groups and len(run.eval_row_groups) != len(run.eval_row_losses) for run in judged_on):
        raise QweftError("the runs do not say of each test row to which group it belongs")
    for (method, seed), number in Counter((run.method, run.seed) for run in runs).items():
        if number > 1:
            raise QweftError(f"the method {method!r} has {number} runs at seed {seed}")


def _summary(runs: list[Run], reference: str, others: list[Run], untouched: Run | None) -> Summary:
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
        difference=pair(
            {run.seed: run.eval_loss for run in own},
            {run.seed: run.eval_loss for run in others},
            {run.seed: run.independent_losses for run in own},
            {run.seed: run.independent_losses for run in others},
        ),
        step_seconds=_middle(runs, "step_seconds_median"),
        cpu_by_others=most_by_others(runs),
        peak_memory_bytes=_middle(runs, "peak_memory_bytes"),
        adapter_bytes=_middle(runs, "adapter_bytes"),
        forgetting=forgotten(runs, None if first.method == BASE else untouched),
    )


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
