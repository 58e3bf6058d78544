"""The plan of a sweep, for the terminal."""

from dataclasses import replace

from rich.console import Group
from rich.text import Text

from qweft.comparison.table import Rows, table_of
from qweft.data.load import load_data
from qweft.evaluation.loss import check_room
from qweft.models.load import load_model
from qweft.sweep.config import SweepConfig
from qweft.sweep.propose import Fitting, check_something_fits, draw
from qweft.sweep.space import axis_said, check_start, key_of, space_of

DRAWN = 200
"""Number of configurations drawn to estimate how many fit; a space of at most this size is checked whole."""


def describe(config: SweepConfig) -> Group:
    """Return the space, and how much of it fits the budget."""
    check_start(config)
    space = space_of(config)
    shapes = load_model(replace(config.model, device="meta"))
    fitting = Fitting(space, config.max_parameters, shapes.model)
    check_something_fits(config, fitting)
    if shapes.tokenizer is not None:
        check_room(shapes.model, load_data(config.data, shapes.tokenizer).rows("test"))
    rows: Rows = [("field", "values"), *((name, axis_said(axis)) for name, axis in space.axes.items())]
    is_whole = space.size <= DRAWN
    drawn = space.grid() if is_whole else (draw(space.axes, config.seed, [], n, learning=False) for n in range(DRAWN))
    points = list({key_of(point): point for point in drawn}.values())
    sizes = [int(fitting.parameters(point)) for point in points if fitting.fits(point)]
    ends = f": {min(sizes):,} to {max(sizes):,} parameters" if sizes else ""
    lines = [
        f"{config.trials} trials, {config.sampler}",
        f"{len(sizes)} of {len(points)} {'all' if is_whole else 'drawn'} configurations can be trained{ends}",
    ]
    return Group(table_of(rows, f"{config.model.name} on {config.data.source}"), *map(Text, lines))
