"""Whether measured step times carry a statement on speed: the load of the machine beside them."""

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import accumulate

from qweft.comparison.results import Run
from qweft.environment import ALONE, share_said

EPOCH = datetime.fromtimestamp(0, UTC)


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


def load_said(runs: Sequence[Run]) -> str:
    """Return a sentence on the machine's load beside the step times of a comparison."""
    alone = measured_alone(runs)
    if alone is None:
        return "The load of the machine was not recorded, so the step times say nothing about speed."
    most = max((run.cpu_by_others or 0 for run in timed(runs)), default=0)
    beside = f"Other programs used up to {share_said(most)} of the CPU"
    beside = beside if one_at_a_time(runs) else "Several runs shared the machine"
    return f"{beside}, so the step times {'can be compared' if alone else 'say nothing about speed'}."
