"""Whether measured step times carry a statement on speed: the load of the machine beside them, and their spread."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import accumulate
from statistics import fmean, stdev
from typing import Literal

from qweft.comparison.random_effects import LEVEL
from qweft.comparison.results import Run
from qweft.comparison.statistics import SEEDS_NEEDED
from qweft.comparison.student import quantile
from qweft.environment import ALONE, share_said

EPOCH = datetime.fromtimestamp(0, UTC)
Doubt = Literal["load not recorded", "not alone", "within spread"]
"""Why a ratio of step times is no finding."""


def one_at_a_time(runs: Sequence[Run]) -> bool:
    """Whether no two runs overlapped in time."""
    # as seconds: the end of a run that a record puts into the year 9999 is no date
    times = ((datetime.fromisoformat(run.started), run.seconds) for run in runs if run.started and run.seconds)
    spans = sorted(((begun - EPOCH).total_seconds(), taken) for begun, taken in times)
    ends = [begun + taken - 1 for begun, taken in spans]
    return all(begun >= end for (begun, _), end in zip(spans[1:], accumulate(ends, max), strict=False))


def timed(runs: Sequence[Run]) -> list[Run]:
    """Return the runs that have step times."""
    return [run for run in runs if run.step_seconds_median is not None]


def most_by_others(runs: Sequence[Run]) -> float | None:
    """Return the largest share of the processors that others took beside the step times; `None` if one is unknown."""
    shares = [run.cpu_by_others for run in timed(runs)]
    known = [share for share in shares if share is not None]
    return max(known) if known and len(known) == len(shares) else None


def measured_alone(runs: Sequence[Run]) -> bool | None:
    """Return whether the step times were measured alone, by measurement; `None` if the load was not recorded."""
    if not one_at_a_time(runs) or any((run.cpu_by_others or 0) > ALONE for run in timed(runs)):
        return False
    return None if most_by_others(runs) is None else True


def ratio_interval(runs: Sequence[Run], others: Sequence[Run]) -> tuple[float, float] | None:
    """Return the interval of the ratio of two methods' step times; `None` if its spread is unknown.

    From three shared seeds on it is the 95% interval of the geometric mean over seeds, of Student's t. For fewer it is

        median ratio times exp(-s) to exp(s),   s = sum of both runs' step_seconds_spread, the largest over seeds
    """
    by_seed = {run.seed: run for run in timed(others)}
    pairs = [(run, by_seed[run.seed]) for run in timed(runs) if run.seed in by_seed]
    logs = [
        math.log(a) - math.log(b)
        for run, other in pairs
        if (a := run.step_seconds_median) and (b := other.step_seconds_median)
    ]
    if not logs or len(logs) < len(pairs):
        return None
    middle = fmean(logs)
    if len(logs) >= SEEDS_NEEDED:
        half = quantile(LEVEL, len(logs) - 1) * stdev(logs) / math.sqrt(len(logs))
    else:
        spreads = [run.step_seconds_spread for pair in pairs for run in pair]
        known = [spread for spread in spreads if spread is not None]
        if len(known) < len(spreads):
            return None
        half = max(own + other for own, other in zip(known[::2], known[1::2], strict=True))
    return math.exp(middle - half), math.exp(middle + half)


def doubt_on(runs: Sequence[Run], others: Sequence[Run]) -> Doubt | None:
    """Return why the ratio of two methods' step times is no finding; `None` if it is one."""
    alone = measured_alone([*runs, *others])
    if alone is None:
        return "load not recorded"
    if not alone:
        return "not alone"
    interval = ratio_interval(runs, others)
    return "within spread" if interval is None or interval[0] <= 1 <= interval[1] else None


def load_said(runs: Sequence[Run]) -> str:
    """Return a sentence on the machine's load beside the step times of a comparison."""
    alone = measured_alone(runs)
    if alone is None:
        return "The load of the machine was not recorded, so the step times say nothing about speed."
    most = max((run.cpu_by_others or 0 for run in timed(runs)), default=0)
    beside = f"Other programs used up to {share_said(most)} of the CPU"
    beside = beside if one_at_a_time(runs) else "Several runs shared the machine"
    return f"{beside}, so the step times {'can be compared' if alone else 'say nothing about speed'}."
