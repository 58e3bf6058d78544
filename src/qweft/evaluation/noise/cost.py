"""Estimated cost of a measurement, and its caps."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Group
from rich.text import Text

from qweft.circuit import Circuit
from qweft.devices import BoundCircuits
from qweft.devices.jobs import Budget, Estimate, estimate, together
from qweft.devices.mitigation.estimate import Mitigation
from qweft.errors import QweftError
from qweft.evaluation.noise.grid import Grid
from qweft.evaluation.noise.sample import Sample
from qweft.text import many


@dataclass(frozen=True)
class Rate:
    """Numbers of circuits that error mitigation runs."""

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


@dataclass(frozen=True)
class Costs:
    """What decides the cost of a sample."""

    grid: Grid
    budget: Budget
    layers: int
    rate: Rate

    def of(self, sample: Sample) -> Estimate:
        """Return an upper estimate for a sample at all settings together."""
        parts = []
        for setting in self.grid.settings:
            device = self.grid.devices[setting.noise_scale]
            most = device.limits.circuits_at(setting.shots) or sample.circuits
            jobs = self.layers * self.rate.circuit * sum(-(-tokens // most) for tokens in sample.calls)
            jobs += sum(-(-size // most) for size in self.rate.alone)
            parts.append(estimate(device, self.budget.price, sample.circuits, setting.shots, jobs=jobs))
        return together(parts)

    def checked(self, sample: Sample, draw: Callable[[int], Sample]) -> Estimate:
        """Return the estimate for a sample; raise if it exceeds a cap, with a number of circuits that would fit."""
        whole = self.of(sample)
        over = self._over(whole)
        if over is None:
            return whole
        option, cap, total = over
        too_much = f"{option} is {cap:g}, and all circuits together take up to {total:,.6g}; nothing was sent"
        a_token, once = self.layers * self.rate.circuit, self.rate.once
        if least := self._over(self.of(draw(a_token + once))):
            option, _, total = least
            raise QweftError(
                f"{too_much}. One token alone takes up to {total:,.6g}; raise {option}, or name fewer layers with "
                "--layers"
            )
        fits, most = 1, (sample.circuits - once) // a_token
        while most - fits > 1:  # a cost is not in proportion to circuits: each job has its own price
            middle = (fits + most) // 2
            fits, most = (fits, middle) if self._over(self.of(draw(middle * a_token + once))) else (middle, most)
        raise QweftError(f"{too_much}; --max-circuits {fits * a_token + once} would fit")

    def _over(self, whole: Estimate) -> tuple[str, float, float] | None:
        """Return the option whose cap an estimate exceeds, the cap and the estimate."""
        caps = self.budget.caps
        pairs = (("--max-cost", caps.money, whole.money), ("--max-seconds", caps.seconds, whole.seconds))
        for option, cap, total in pairs:
            if cap is not None and total is not None and total > cap:
                return option, cap, total
        return None


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
