"""The plan of a sweep, for the terminal."""

import statistics
from dataclasses import replace
from pathlib import Path

from rich.console import Group
from rich.table import Table
from rich.text import Text

from qweft.comparison.trial import RECORD, read_record
from qweft.data.load import load_data
from qweft.evaluation.loss import check_room
from qweft.models.load import load_model
from qweft.sweep.config import SweepConfig
from qweft.sweep.proposals import Fitting, draw
from qweft.sweep.run import check_something_fits
from qweft.sweep.space import Point, Space, check_start, key_of, space_of, unread_said

DRAWN = 200
"""Number of configurations drawn to estimate how many fit; a space of at most this size is checked whole."""


def describe(config: SweepConfig) -> Group:
    """Return the space, how much of it fits the budget, and the time."""
    check_start(config)
    space = space_of(config)
    shapes = load_model(replace(config.model, device="meta"))
    fitting = Fitting(space, config.max_parameters, shapes.model)
    check_something_fits(config, fitting)
    if shapes.tokenizer is not None:
        check_room(shapes.model, load_data(config.data, shapes.tokenizer).rows("test"))
    table = Table(title=f"{config.model.name} on {config.data.source}")
    table.add_column("field")
    table.add_column("values")
    for axis in space.axes:
        table.add_row(axis.name, axis.describe())
    told = [f"{config.trials} trials, {config.sampler}", *_fitting(fitting, config.seed), _time(config)]
    return Group(table, *map(Text, [*told, *filter(None, [unread_said(config)])]))


def _fitting(fitting: Fitting, seed: int) -> list[str]:
    drawn = _drawn(fitting.space, seed)
    fit = [point for point in drawn if fitting.fits(point)]
    what = "all" if len(drawn) == fitting.space.size else "drawn"
    budget = (
        "can be trained" if fitting.max_parameters is None else f"train at most {fitting.max_parameters:,} parameters"
    )
    told = [f"{len(fit)} of {len(drawn)} {what} configurations {budget}"]
    if fit:
        counts = [fitting.parameters(point) for point in fit]
        told[0] += f": from {min(counts):,} to {max(counts):,}"
    refused = next((point for point in drawn if not fitting.fits(point)), None)
    if refused is not None:
        told.append(
            f"refused, for one: {', '.join(f'{k} {v}' for k, v in refused.items())} ({fitting.reason(refused)})"
        )
    return told


def _drawn(space: Space, seed: int) -> list[Point]:
    """Return distinct points: all of a small space, else a random sample."""
    if space.size <= DRAWN:
        return list(space.grid())
    drawn = [draw(space.axes, seed, [], attempt, learning=False) for attempt in range(DRAWN)]
    return list({key_of(point): point for point in drawn}.values())


def _time(config: SweepConfig) -> str:
    """Return the remaining time, estimated from the finished trials in the folder."""
    records = sorted(Path(config.output).glob(f"trial-*/{RECORD}"))
    seconds = [taken for record in records if (taken := read_record(record)[1].seconds)]
    if not seconds:
        return "time: not known before the first trial is finished; qweft plan --timed times one configuration"
    left = max(0, config.trials - len(seconds))
    each = statistics.median(seconds)
    workers = min(config.workers or 1, config.at_once if config.sampler == "tpe" else left or 1)
    return (
        f"time: {len(seconds)} trials are finished, {each:.0f} s each; the other {left} take some "
        f"{left * each / workers / 60:.0f} min with {workers} at once"
    )
