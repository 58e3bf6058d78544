"""The devices, settings and rows of a measurement, and what it takes; checked before PyTorch is imported."""

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from qweft.core.errors import QweftError
from qweft.core.files import check_can_be_written
from qweft.core.reader import check_values
from qweft.data.config import DataConfig
from qweft.data.tokens import IGNORED, Encoded
from qweft.devices import Device, DeviceError, DeviceSettings, RemoteDevice, make_device
from qweft.devices.jobs import CircuitBudget, Estimate
from qweft.devices.mitigation import Mitigation, make_mitigation
from qweft.evaluation.checks import check_judging
from qweft.evaluation.config import EvaluationConfig
from qweft.evaluation.noise.config import NoiseConfig
from qweft.models.config import ModelConfig

if TYPE_CHECKING:
    import torch


Sections = tuple[ModelConfig, DataConfig, EvaluationConfig]


@dataclass(frozen=True)
class Setting:
    """Shots of each circuit, `None` for exact probabilities, and a factor for the noise model's error probabilities."""

    shots: int | None
    noise_scale: float


@dataclass(frozen=True)
class Grid:
    """Devices by noise scale, the settings to measure in turn, and how."""

    devices: dict[float, Device | RemoteDevice]
    settings: tuple[Setting, ...]
    identity: str
    has_noise: bool
    budget: CircuitBudget
    mitigation: Mitigation


def check_start(adapter: Path, overrides: Mapping[str, Any], config: NoiseConfig) -> tuple[Sections, Grid, Path]:
    """Check what can be checked before a model is loaded; return the run's sections, the grid and the output folder."""
    sections = check_judging(adapter, overrides)
    grid = make_grid(config)
    output = Path(config.output or adapter.parent / f"robustness-{config.device.replace(':', '-')}")
    if not config.output and output.is_symlink():  # a stranger's folder must not choose where is written
        raise QweftError(f"output {output} is a link to {os.path.realpath(output)}; remove it, or give --output")
    if adapter.resolve().is_relative_to(os.path.realpath(output)):
        raise QweftError(f"output {output} holds the adapter; choose another --output")
    check_can_be_written(output)
    return sections, grid, output


def make_grid(config: NoiseConfig) -> Grid:
    """Return a setting for each number of shots at each noise scale, and exact probabilities where they are free."""
    check_values(config, "")
    if config.extrapolation != NoiseConfig.extrapolation and not config.zne:
        raise QweftError(f"--extrapolation {config.extrapolation} says nothing without --zne; give --zne 1,3,5 too")
    scales = sorted(set(config.noise_scale)) or [1.0]
    devices = {
        scale: make_device(config.device, DeviceSettings(config.seed, config.noise, scale)) for scale in {*scales, 1.0}
    }
    shots: list[int | None] = [*sorted(set(config.shots))] if config.shots else [None]
    first = devices[scales[0]]
    for each in shots:
        first.check(each)
    if config.shots and not first.may_bill:
        with suppress(DeviceError):
            first.check(None)
            shots.append(None)
    has_noise = config.device == "noisy"
    settings = tuple(Setting(each, scale) for scale in scales for each in shots)
    most = config.max_circuits
    mitigation = make_mitigation(config.readout, tuple(config.zne) if config.zne else None, config.extrapolation)
    budget = CircuitBudget(most and most * len(settings))
    return Grid(devices, settings, devices[1.0].identity(), has_noise, budget, mitigation)


@dataclass(frozen=True)
class Sample:
    """The rows measured, their circuits, and the tokens of each batch: only one batch's circuits share a job."""

    rows: tuple[int, ...]
    circuits: int
    batches: tuple[int, ...]


@dataclass(frozen=True)
class Wanted:
    """Everything that a sample can be drawn from, and the circuits that a token takes, and that are run once."""

    rows: Sequence[Encoded]
    which: Literal["all", "targets"]
    batch_size: int
    circuits_a_token: int
    circuits_once: int

    def draw(self, max_circuits: int | None, seed: int) -> Sample:
        """Draw as many random rows as fit."""
        costs = {place: len(measured) for place, row in enumerate(self.rows) if (measured := self.measured(row))}
        if not costs:
            raise QweftError("no row holds a token that is predicted; are the answers longer than data.max_length?")
        drawn = np.random.default_rng(seed).permutation(list(costs)).tolist()
        circuits = self.circuits_once + self.circuits_a_token * np.cumsum([costs[row] for row in drawn])
        fitting = len(drawn) if max_circuits is None else int(np.searchsorted(circuits, max_circuits, side="right"))
        if not fitting:
            raise QweftError(
                f"--max-circuits {max_circuits} is fewer than one row takes ({circuits[0]:,}); raise it, or give "
                "--layers"
            )
        chosen = sorted(drawn[:fitting])
        order = sorted(chosen, key=lambda row: -len(self.rows[row]["input_ids"]))
        batches = [order[first : first + self.batch_size] for first in range(0, len(order), self.batch_size)]
        tokens = tuple(sum(costs[row] for row in batch) for batch in batches)
        return Sample(tuple(chosen), int(circuits[fitting - 1]), tokens)

    def measured(self, row: Encoded) -> list[int]:
        """Return the positions of a row's tokens to measure; none if it holds no target."""
        targets = [place for place, label in enumerate(row["labels"][1:]) if label != IGNORED]
        return list(range(len(row["input_ids"]))) if targets and self.which == "all" else targets

    def choose(self, pad: int) -> Callable[["torch.Tensor"], "torch.Tensor"]:
        """Return a function from right-padded ids (rows, tokens) to the tokens to measure."""
        known = [(list(row["input_ids"]), self.measured(row)) for row in self.rows]

        def chosen(ids: "torch.Tensor") -> "torch.Tensor":
            mask = ids != ids  # all False, on its device
            for number, row in enumerate(ids.tolist()):
                same = (places for own, places in known if row == own + [pad] * (len(row) - len(own)))
                mask[number, next(same)] = True
            return mask

        return chosen


def estimated(sample: Sample, grid: Grid, layers: int, forms: int) -> Estimate:
    """Return an upper estimate for a sample at all settings. `forms` counts circuits."""
    each, jobs = grid.mitigation.folds, 0
    for setting in grid.settings:
        device = grid.devices[setting.noise_scale]
        most = device.limits.circuits_at(setting.shots) or sample.circuits
        jobs += layers * each * sum(-(-tokens // most) for tokens in sample.batches)
        jobs += forms * each * -(-2 // most) if grid.mitigation.undoes_readout else 0
    shots = tuple(dict.fromkeys(setting.shots for setting in grid.settings))
    circuits = sample.circuits * len(grid.settings)
    return Estimate(grid.devices[grid.settings[0].noise_scale], circuits, jobs, shots)
