"""Estimated cost of a measurement, and its caps."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Group
from rich.text import Text

from qweft.circuit import Circuit
from qweft.devices import BoundCircuits
from qweft.devices.jobs import Budget, Estimate, estimate, together
from qweft.devices.mitigation import Mitigation
from qweft.errors import QweftError
from qweft.evaluation.noise.grid import Grid
from qweft.evaluation.noise.sample import Sample
from qweft.text import many


@dataclass(frozen=True)
class Rate:
    """Numbers of circuits that error mitigation runs for each circuit, once, and in jobs of their own."""

    circuit: int
    once: int
    alone: tuple[int, ...] = ()


def rate(mitigation: Mitigation, circuits: Sequence[Circuit]) -> Rate:
    """Return the numbers of circuits, derived from the mitigation's runs for one and for two tokens."""
    forms = set(circuits)

    def sizes(tokens: int) -> list[int]:
        bound = [
            BoundCircuits(
                circuit.qubits,
                tuple((gate.name, gate.wires) for gate in circuit.gates),
                np.zeros((tokens, len(circuit.gates))),
            )
            for circuit in forms
        ]
        return [len(run) for circuits in bound for run in mitigation.runs(circuits)]

    of_one, of_two = sizes(1), sizes(2)
    one, two = sum(of_one), sum(of_two)
    alone = tuple(size for size, other in zip(of_one, of_two, strict=True) if size == other)
    return Rate((two - one) // len(forms), 2 * one - two, alone)


def estimated(sample: Sample, grid: Grid, budget: Budget, layers: int, rate: Rate) -> Estimate:
    """Return an upper estimate for a sample at all settings together; raise if it exceeds a cap."""
    parts = []
    for setting in grid.settings:
        device = grid.devices[setting.noise_scale]
        most = device.limits.circuits_at(setting.shots) or sample.circuits
        jobs = layers * rate.circuit * sum(-(-tokens // most) for tokens in sample.calls)
        jobs += sum(-(-size // most) for size in rate.alone)
        parts.append(estimate(device, budget.price, sample.circuits, setting.shots, jobs=jobs))
    whole, caps = together(parts), budget.caps
    for option, cap, total in (
        ("cost", caps.money, whole.charge.money),
        ("seconds", caps.seconds, whole.charge.seconds),
    ):
        if cap is not None and total is not None and total > cap:
            raise QweftError(
                f"--max-{option} is {cap:g}, and {sample.circuits:,} circuits at a setting take up to {total:,.6g}; "
                "nothing was sent; lower --max-circuits, or name fewer layers with --layers"
            )
    return whole


@dataclass(frozen=True)
class Plan:
    """The plan of a measurement."""

    measures: str
    dtype: str
    settings: int
    estimate: Estimate

    def headline(self) -> str:
        """Return a summary in one line."""
        return (
            f"{self.measures}, model in {self.dtype}; {many(self.settings, 'setting')}, at most "
            f"{many(self.estimate.circuits, 'circuit')}"
        )

    def describe(self) -> Group:
        """Return the plan for the terminal."""
        return Group(Text(self.headline()), self.estimate.describe())

    def to_json(self) -> dict[str, Any]:
        """Return all fields as JSON can hold them."""
        return vars(self) | {"estimate": self.estimate.to_json()}
