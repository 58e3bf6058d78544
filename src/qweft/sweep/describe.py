"""The plan of a sweep, for the terminal."""

from dataclasses import replace

from rich.console import Group
from rich.text import Text

from qweft.comparison.report.table import Rows, table_of
from qweft.data.load import load_data
from qweft.evaluation.loss import check_room
from qweft.models.load import load_model
from qweft.sweep.config import SweepConfig
from qweft.sweep.propose import Fitting, check_something_fits
from qweft.sweep.space import axis_said, check_start, space_of


def describe(config: SweepConfig) -> Group:
    """Return what varies."""
    check_start(config)
    space = space_of(config)
    shapes = load_model(replace(config.model, device="meta"))
    check_something_fits(config, Fitting(space, config.max_parameters, shapes.model))
    if shapes.tokenizer is not None:
        check_room(shapes.model, load_data(config.data, shapes.tokenizer).rows("test"))
    rows: Rows = [("field", "values"), *((name, axis_said(axis)) for name, axis in space.axes.items())]
    table = table_of(rows, f"{config.model.name} on {config.data.source}")
    return Group(table, Text(f"{config.trials} trials, {config.sampler}"))
