"""The plan of a sweep, for the terminal."""

from dataclasses import replace

from rich.console import Group
from rich.table import Table
from rich.text import Text

from qweft.data.load import load_data
from qweft.evaluation.loss import check_room
from qweft.models.load import load_model
from qweft.sweep.config import SweepConfig
from qweft.sweep.propose import Fitting, check_something_fits, draw
from qweft.sweep.space import check_start, key_of, point_said, space_of, unread_said

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
    table = Table("field", "values", title=f"{config.model.name} on {config.data.source}")
    for axis in space.axes:
        table.add_row(axis.name, axis.describe())
    lines = [f"{config.trials} trials, {config.sampler}", *_fitting(fitting, config.seed), unread_said(config)]
    return Group(table, *(Text(line) for line in lines if line))


def _fitting(fitting: Fitting, seed: int) -> list[str]:
    """Return how many configurations fit, of all or of some that are drawn, and one that does not."""
    space, is_whole = fitting.space, fitting.space.size <= DRAWN
    drawn = space.grid() if is_whole else (draw(space.axes, seed, [], each, learning=False) for each in range(DRAWN))
    points = {key_of(point): point for point in drawn}.values()
    counts = [found for point in points if fitting.fits(point) and isinstance(found := fitting.parameters(point), int)]
    most = fitting.max_parameters
    limit = "can be trained" if most is None else f"train at most {most:,} parameters"
    line = f"{len(counts)} of {len(points)} {'all' if is_whole else 'drawn'} configurations {limit}"
    lines = [f"{line}: from {min(counts):,} to {max(counts):,}" if counts else line]
    refused = next(((point, why) for point in points if (why := fitting.why_not(point))), None)
    return lines if refused is None else [*lines, f"refused, for one: {point_said(refused[0])} ({refused[1]})"]
