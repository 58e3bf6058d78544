"""Checks of `qweft evaluate --device`, before PyTorch is imported."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from qweft.data.config import DataConfig
from qweft.devices.jobs import Budget
from qweft.devices.mitigation import make_mitigation
from qweft.devices.mitigation.estimate import Mitigation
from qweft.errors import QweftError
from qweft.evaluation.checks import check_judging
from qweft.evaluation.config import EvaluationConfig
from qweft.evaluation.noise.config import NoiseConfig
from qweft.evaluation.noise.cost import make_budget
from qweft.evaluation.noise.settings import Grid, make_grid
from qweft.files import check_can_be_written
from qweft.models.config import ModelConfig


class Checked(NamedTuple):
    """What is to be measured, where and how."""

    model: ModelConfig
    data: DataConfig
    evaluation: EvaluationConfig
    grid: Grid
    budget: Budget
    mitigation: Mitigation
    output: Path


def check_start(adapter: Path, overrides: Mapping[str, Any], config: NoiseConfig) -> Checked:
    """Check everything that can be checked before a model is loaded."""
    model, data, evaluation = check_judging(adapter, overrides)
    grid = make_grid(config)
    budget = make_budget(config, grid)
    mitigation = make_mitigation(config.readout, tuple(config.zne) if config.zne else None, config.extrapolation)
    output = Path(config.output or adapter.parent / f"robustness-{config.device.replace(':', '-')}")
    if not config.output and output.is_symlink():  # by a stranger's folder; what stands where it leads is another's
        raise QweftError(f"output {output} is a link to {os.path.realpath(output)}; remove it, or give --output")
    if adapter.resolve().is_relative_to(os.path.realpath(output)):
        raise QweftError(
            f"output {output} holds the adapter, and a report has a folder of its own; choose another --output"
        )
    check_can_be_written(output)
    return Checked(model, data, evaluation, grid, budget, mitigation, output)
