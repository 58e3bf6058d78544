"""What measuring a sample will take, before anything is sent."""

from collections.abc import Sequence
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
    """Circuits that mitigation makes of one.

    Args:
        circuit: Circuits for each circuit of a token.
        once: Circuits beside those, whatever the number of tokens: they tell the device's errors.
    """

    circuit: int
    once: int


def rate(mitigation: Mitigation, circuits: Sequence[Circuit]) -> Rate:
    """Counted on what the mitigation asks for, for one and for two tokens.

    Args:
        mitigation: What is done about errors.
        circuits: Those of the layers; circuits of one form share what tells errors.
    """
    forms = set(circuits)
    one, two = (
        sum(
            len(run)
            for circuit in forms
            for run in mitigation.runs(
                BoundCircuits(
                    circuit.qubits,
                    tuple((gate.name, gate.wires) for gate in circuit.gates),
                    np.zeros((tokens, len(circuit.gates))),
                )
            )
        )
        for tokens in (1, 2)
    )
    return Rate((two - one) // len(forms), 2 * one - two)


def make_budget(config: RobustnessConfig, grid: Grid) -> Budget:
    """The caps of the whole run, at the device's price.

    Raises:
        QweftError: If a cap cannot be kept because nobody knows what the device takes, or the price list is faulty.
    """
    device = next(iter(grid.devices.values()))
    circuits = None if config.max_circuits is None else config.max_circuits * len(grid.settings)
    caps = Caps(circuits, config.max_cost, config.max_seconds)
    return Budget(device.name, PriceList.load(config.price_file).of(device.name), caps)


def estimate_run(grid: Grid, budget: Budget, sample: Sample, layers: int, counted: Rate) -> Estimate:
    """All settings together, at most.

    Args:
        grid: The settings.
        budget: It knows the price.
        sample: What is measured at each setting.
        layers: Layers that are measured.
        counted: The circuits that mitigation makes of one.

    Raises:
        QweftError: If it is above a cap.
    """
    parts = []
    for setting in grid.settings:
        device = grid.devices[setting.noise_scale]
        most = device.limits.circuits_at(setting.shots) or sample.circuits
        jobs = layers * counted.circuit * sum(-(-tokens // most) for tokens in sample.calls) + -(-counted.once // most)
        parts.append(estimate(device, budget.price, sample.circuits, setting.shots, jobs=jobs))
    whole = together(parts)
    for key, cap, total in (
        ("--max-cost", budget.caps.money, whole.money),
        ("--max-seconds", budget.caps.seconds, whole.seconds),
    ):
        if cap is not None and total is not None and total > cap:
            raise QweftError(
                f"{key} is {cap:g}, and all circuits together take up to {total:,.6g}; nothing was sent: about "
                f"--max-circuits {int(sample.circuits * cap / total)} would fit"
            )
    return whole


@dataclass(frozen=True)
class Plan:
    """A run before it is made.

    Args:
        measures: In words: what of the rows is measured, in which layers.
        dtype: Type of the model's numbers.
        settings: Numbers of shots times strengths of noise.
        estimate: What all of it takes at most.
    """

    measures: str
    dtype: str
    settings: int
    estimate: Estimate

    def headline(self) -> str:
        """In one sentence."""
        return (
            f"{self.measures}, model in {self.dtype}; {many(self.settings, 'setting')}, at most "
            f"{many(self.estimate.circuits, 'circuit')}"
        )

    def describe(self) -> Group:
        """For the terminal."""
        return Group(Text(self.headline()), self.estimate.describe())

    def to_json(self) -> dict[str, Any]:
        """All of it, as JSON holds it."""
        return {
            "measures": self.measures, "dtype": self.dtype, "settings": self.settings,
            "estimate": self.estimate.to_json(),
        }  # fmt: skip
