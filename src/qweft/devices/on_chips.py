"""Circuits, shots, time and money of a training whose circuits run on a chip, by the price lists that are known."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Group
from rich.text import Text

from qweft.circuit import Circuit
from qweft.devices.measure import gradient_circuits
from qweft.devices.prices import PriceList

SHOTS = 10_000
"""Of each circuit, by which the standard error of an expectation value is at most 1 / sqrt(SHOTS)."""
STANDARD_ERROR = 0.01
YEAR = 365.25 * 24 * 3600


@dataclass(frozen=True)
class ChipCost:
    """The price of a training on one chip."""

    device: str
    jobs: int
    seconds: float | None
    money: float
    currency: str
    date: str


@dataclass(frozen=True)
class ChipTraining:
    """What a training would run on a chip."""

    circuits_a_token: int
    evaluations: int
    jobs: int
    costs: tuple[ChipCost, ...]
    shots: int = SHOTS
    standard_error: float = STANDARD_ERROR

    def describe(self) -> Group:
        """Return lines for the terminal."""
        lines = [
            f"on a chip: {self.circuits_a_token:,} circuits a token, {self.evaluations:,} in all, {self.shots:,} shots "
            f"each (standard error at most {self.standard_error:g})"
        ]
        for cost in self.costs:
            years = "not known" if cost.seconds is None else f"{cost.seconds / YEAR:,.3g} years"
            lines.append(f"{cost.device}: {cost.money:,.0f} {cost.currency} ({cost.date}), time on it {years}")
        return Group(*map(Text, lines))


def on_chips(
    circuits: Sequence[Circuit], tokens: int, passes: int, trained: bool = True, prices: PriceList | None = None
) -> ChipTraining:
    """Return what a training takes with its circuits on a chip and gradients by parameter shift.

        evaluations = tokens * sum over circuits of (1 + g),   g shifted circuits of a token
        jobs = 2 * passes * circuits, one forward and one backward each; more where a chip limits a job's circuits

    Errors of the chip, their mitigation and the evaluation come on top.
    """
    a_token = sum(1 + gradient_circuits(circuit, 1, parameters=trained) for circuit in circuits)
    evaluations, jobs = tokens * a_token, 2 * len(circuits) * passes
    costs, known = [], prices or PriceList.load()
    for name in dict.fromkeys(each.patterns[0] for each in known.devices):
        price = known.of(name)
        charge = price.charge(jobs, evaluations, evaluations * SHOTS)
        if charge.money:
            costs.append(ChipCost(name, jobs, charge.seconds, charge.money, charge.currency, price.date))
    costs.sort(key=lambda cost: cost.money)
    return ChipTraining(a_token, evaluations, jobs, tuple(costs))
