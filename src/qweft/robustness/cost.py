"""Estimated cost of measuring a sample, and its caps."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Group
from rich.text import Text

from qweft.circuit import Circuit
from qweft.devices import BoundCircuits
from qweft.devices.jobs import Budget, Caps, Estimate, PriceList, estimate, together
from qweft.devices.mitigation.estimate import Mitigation
from qweft.errors import QweftError
from qweft.robustness.config import RobustnessConfig
from qweft.robustness.grid import Grid
from qweft.robustness.sample import Sample
from qweft.text import many


@dataclass(frozen=True)
class Rate:
    """Numbers of circuits that error mitigation runs.

    Args:
        circuit: Circuits for each circuit of a token.
        once: Additional circuits that characterize the device's errors, for any number of tokens.
        alone: Sizes of the runs of these; each is a job of its own, or several.
    """

    circuit: int
    once: int
    alone: tuple[int, ...] = ()


def rate(mitigation: Mitigation, circuits: Sequence[Circuit]) -> Rate:
    """Returns the numbers of circuits, derived from the mitigation's runs for one and for two tokens.

    Args:
        mitigation: Error mitigation.
        circuits: Circuits of the layers. Equal circuits share the circuits that characterize errors.
    """
    forms = set(circuits)
    sizes = [
        [
            len(run)
            for circuit in forms
            for run in mitigation.runs(
                BoundCircuits(
                    circuit.qubits,
                    tuple((gate.name, gate.wires) for gate in circuit.gates),
                    np.zeros((tokens, len(circuit.gates))),
                )
            )
        ]
        for tokens in (1, 2)
    ]
    one, two = map(sum, sizes)
    alone = tuple(size for size, other in zip(*sizes, strict=True) if size == other)
    return Rate((two - one) // len(forms), 2 * one - two, alone)


def make_budget(config: RobustnessConfig, grid: Grid) -> Budget:
    """Returns the caps of the whole run and the device's price.

    Raises:
        QweftError: If a cap cannot be enforced because the device's price or speed is unknown, or the price list is
            invalid.
    """
    device = next(iter(grid.devices.values()))
    circuits = None if config.max_circuits is None else config.max_circuits * len(grid.settings)
    caps = Caps(circuits, config.max_cost, config.max_seconds)
    return Budget(device.name, PriceList.load(config.price_file).of(device.name), caps)


def estimate_run(
    grid: Grid, budget: Budget, sample: Sample, layers: int, counted: Rate, draw: Callable[[int], Sample]
) -> Estimate:
    """Returns an upper estimate for all settings together.

    Args:
        grid: The settings and their devices.
        budget: Price and caps.
        sample: What is measured at each setting.
        layers: Number of measured layers.
        counted: Numbers of circuits that the mitigation runs.
        draw: Draws the sample that a number of circuits allows.

    Raises:
        QweftError: If the estimate exceeds the cap on cost or on seconds; names a number of circuits that would fit.
    """
    whole = _estimate(grid, budget, sample, layers, counted)
    over = _over(budget.caps, whole)
    if not over:
        return whole
    a_token = layers * counted.circuit

    def over_with(tokens: int) -> list[tuple[str, float, float]]:
        drawn = draw(tokens * a_token + counted.once)
        return _over(budget.caps, _estimate(grid, budget, drawn, layers, counted))

    key, cap, total = over[0]
    too_much = f"{key} is {cap:g}, and all circuits together take up to {total:,.6g}; nothing was sent"
    if least := over_with(1):
        key, _, total = least[0]
        raise QweftError(
            f"{too_much}. One token alone takes up to {total:,.6g}; raise {key}, or name fewer layers with --layers"
        )
    fits, most = 1, (sample.circuits - counted.once) // a_token
    while most - fits > 1:  # not in proportion: a job has its price with one circuit too, and a layer has a job
        middle = (fits + most) // 2
        fits, most = (fits, middle) if over_with(middle) else (middle, most)
    raise QweftError(f"{too_much}; --max-circuits {fits * a_token + counted.once} would fit")


def _over(caps: Caps, whole: Estimate) -> list[tuple[str, float, float]]:
    """Returns the options whose caps an estimate exceeds, with the cap and the estimate."""
    wanted = (("--max-cost", caps.money, whole.money), ("--max-seconds", caps.seconds, whole.seconds))
    return [(key, cap, total) for key, cap, total in wanted if cap is not None and total is not None and total > cap]


def _estimate(grid: Grid, budget: Budget, sample: Sample, layers: int, counted: Rate) -> Estimate:
    parts = []
    for setting in grid.settings:
        device = grid.devices[setting.noise_scale]
        most = device.limits.circuits_at(setting.shots) or sample.circuits
        jobs = layers * counted.circuit * sum(-(-tokens // most) for tokens in sample.calls)
        jobs += sum(-(-size // most) for size in counted.alone)
        parts.append(estimate(device, budget.price, sample.circuits, setting.shots, jobs=jobs))
    return together(parts)


@dataclass(frozen=True)
class Plan:
    """The plan of a run.

    Args:
        measures: Description of the sample and the layers.
        dtype: dtype of the model.
        settings: Number of settings (shots and noise scale).
        estimate: Upper estimate of circuits, cost and time.
    """

    measures: str
    dtype: str
    settings: int
    estimate: Estimate

    def headline(self) -> str:
        """Returns a summary in one line."""
        return (
            f"{self.measures}, model in {self.dtype}; {many(self.settings, 'setting')}, at most "
            f"{many(self.estimate.circuits, 'circuit')}"
        )

    def describe(self) -> Group:
        """Returns the plan for the terminal."""
        return Group(Text(self.headline()), self.estimate.describe())

    def to_json(self) -> dict[str, Any]:
        """Returns all fields as JSON-compatible values."""
        return {
            "measures": self.measures, "dtype": self.dtype, "settings": self.settings,
            "estimate": self.estimate.to_json(),
        }  # fmt: skip
