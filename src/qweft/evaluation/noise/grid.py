"""The devices and settings of a measurement, checked before PyTorch is imported."""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from qweft.circuit import Circuit
from qweft.data.config import DataConfig
from qweft.devices import Device, DeviceError, DeviceSettings, RemoteDevice, make_device
from qweft.devices.jobs import Budget, Caps, PriceList
from qweft.devices.mitigation import Mitigation, make_mitigation
from qweft.devices.registry import NOISELESS
from qweft.errors import QweftError
from qweft.evaluation.checks import check_judging
from qweft.evaluation.config import EvaluationConfig
from qweft.evaluation.noise.config import NoiseConfig
from qweft.files import check_can_be_written
from qweft.models.config import ModelConfig
from qweft.text import many


@dataclass(frozen=True)
class Setting:
    """Shots of each circuit, `None` for exact probabilities, and a factor for the noise model's error probabilities."""

    shots: int | None
    noise_scale: float


@dataclass(frozen=True)
class Grid:
    """Devices by noise scale, and the settings to measure in turn."""

    devices: dict[float, Device | RemoteDevice]
    settings: tuple[Setting, ...]
    identity: str
    has_noise: bool

    def check_qubits(self, circuits: Mapping[str, Circuit]) -> None:
        """Raise if a device has too few qubits for the circuit of a layer, by its name."""
        for device in self.devices.values():
            most = device.limits.qubits
            for name, circuit in circuits.items():
                if most is not None and circuit.qubits > most:
                    raise QweftError(
                        f"device {device.name} has {many(most, 'qubit')}, and the circuit of {name} needs "
                        f"{circuit.qubits}; choose another --device, or other --layers"
                    )


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
    sections = check_judging(adapter, overrides)
    grid = make_grid(config)
    per_setting = config.max_circuits
    caps = Caps(None if per_setting is None else per_setting * len(grid.settings), config.max_cost, config.max_seconds)
    device = next(iter(grid.devices.values()))
    budget = Budget(device.name, PriceList.load(config.price_file).of(device.name), caps)
    mitigation = make_mitigation(config.readout, tuple(config.zne) if config.zne else None, config.extrapolation)
    output = Path(config.output or adapter.parent / f"robustness-{config.device.replace(':', '-')}")
    if not config.output and output.is_symlink():  # a stranger's folder must not choose where is written
        raise QweftError(f"output {output} is a link to {os.path.realpath(output)}; remove it, or give --output")
    if adapter.resolve().is_relative_to(os.path.realpath(output)):
        raise QweftError(f"output {output} holds the adapter; choose another --output")
    check_can_be_written(output)
    return Checked(*sections, grid, budget, mitigation, output)


def make_grid(config: NoiseConfig) -> Grid:
    """Return a setting for each number of shots at each noise scale, with checked devices.

    A device that can compute exact probabilities gets them as a further setting, the limit of many shots, unless
    shots are paid for.
    """
    _check(config)
    devices = {scale: _device(config, scale) for scale in sorted(set(config.noise_scale))}
    wanted: list[int | None] = [*sorted(set(config.shots))] if config.shots else [None]
    first = next(iter(devices.values()))
    for shots in wanted:
        first.check(shots)
    counts_shots = PriceList.load(config.price_file).of(config.device).counts_shots
    if counts_shots and not config.shots:
        raise QweftError(f"device {config.device} has a price or a time for each shot; give --shots")
    if config.shots and not counts_shots and _computes_exactly(first):
        wanted.append(None)
    identity = _device(config, 1.0).identity()
    has_noise = identity != _device(config, 0.0).identity()
    if config.noise_scale != [1.0] and not has_noise:
        raise QweftError(
            f"--noise-scale {','.join(f'{scale:g}' for scale in config.noise_scale)}: device {config.device} has no "
            "noise model that could be scaled; name one with --noise, or use device noisy"
        )
    return Grid(devices, tuple(Setting(shots, scale) for scale in devices for shots in wanted), identity, has_noise)


def _device(config: NoiseConfig, scale: float) -> Device | RemoteDevice:
    return make_device(config.device, DeviceSettings(config.seed, config.noise, scale))


def _check(config: NoiseConfig) -> None:
    if config.shots and min(config.shots) < 1:
        raise QweftError(f"--shots must be at least 1, got {min(config.shots)}; leave them out for exact probabilities")
    if not config.noise_scale or not all(math.isfinite(scale) and scale >= 0 for scale in config.noise_scale):
        raise QweftError(f"--noise-scale takes numbers of at least 0, got {config.noise_scale}; 1 scales nothing")
    if config.extrapolation != NoiseConfig.extrapolation and not config.zne:
        raise QweftError(f"--extrapolation {config.extrapolation} says nothing without --zne; give --zne 1,3,5 too")
    if config.device in NOISELESS and (config.noise is not None or config.noise_scale != [1.0]):
        raise QweftError(f"device {config.device} has no noise; use device noisy for --noise and --noise-scale")
    if not 0 <= config.seed < 2**63:
        raise QweftError(f"--seed {config.seed}: give 0 or more, below 2^63")
    for name in ("max_circuits", "max_cost", "max_seconds", "timeout"):
        value = getattr(config, name)
        if value is not None and not value > 0:
            raise QweftError(f"--{name.replace('_', '-')} must be above 0, got {value}")


def _computes_exactly(device: Device | RemoteDevice) -> bool:
    if not isinstance(device, Device):
        return False
    try:
        device.check(None)
    except DeviceError:
        return False
    return True
