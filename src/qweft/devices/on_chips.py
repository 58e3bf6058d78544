"""Circuits, shots, time and money of a training whose circuits run on a chip, by the price lists that are known."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rich.box import SIMPLE_HEAD
from rich.table import Table

from qweft.circuit import Circuit
from qweft.devices.measure import gradient_circuits
from qweft.devices.prices import PriceList
from qweft.devices.registry import families

STANDARD_ERROR = 0.01
"""Largest standard error of a measured expectation value."""
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
    shots: int
    standard_error: float
    costs: tuple[ChipCost, ...]

    def describe(self) -> Table:
        """Return the chips as a table for the terminal."""
        table = Table(
            title=f"on a chip: {self.circuits_a_token:,} circuits a token, {self.evaluations:,} in all, {self.shots:,} "
            f"shots each (standard error at most {self.standard_error:g})",
            box=SIMPLE_HEAD,
        )
        for head in ("chip", "time on it", "money", "price of"):
            table.add_column(head, justify="left" if head == "chip" else "right")
        for cost in self.costs:
            years = "not known" if cost.seconds is None else f"{cost.seconds / YEAR:,.3g} years"
            table.add_row(cost.device, years, f"{cost.money:,.0f} {cost.currency}", cost.date)
        return table


def on_chips(
    circuits: Sequence[Circuit],
    tokens: int,
    passes: int,
    trained: bool = True,
    standard_error: float = STANDARD_ERROR,
    prices: PriceList | None = None,
) -> ChipTraining:
    """Return what a training takes with its circuits on a chip and gradients by parameter shift.

        evaluations = tokens * sum over circuits of (1 + g),   g shifted circuits of a token
        shots = ceil(1 / standard_error^2)
        jobs = passes * sum over circuits of (ceil(t / m) + ceil(t g / m)),   t = tokens / passes, m circuits a job

    Errors of the chip, their mitigation and the evaluation come on top.
    """
    backward = [gradient_circuits(circuit, 1, parameters=trained) for circuit in circuits]
    a_token = sum(1 + more for more in backward)
    shots = math.ceil(round(standard_error**-2, 6))  # 1 / 0.01^2 is a little above 10,000

    def jobs(most: int | None) -> int:
        if most is None:
            return 2 * len(circuits) * passes
        return passes * sum(-(-tokens * each // (passes * most)) for more in backward for each in (1, more))

    costs, known = [], prices or PriceList.load()
    for name in dict.fromkeys(each.patterns[0] for each in known.devices):
        price = known.of(name)
        family = families().get(name.partition(":")[0])
        sent = jobs(None if family is None else family.limits.circuits_at(shots))
        charge = price.charge(sent, tokens * a_token, shots)
        if charge.money:
            costs.append(ChipCost(name, sent, charge.seconds, charge.money, charge.currency, price.date))
    costs.sort(key=lambda cost: cost.money)
    return ChipTraining(a_token, tokens * a_token, jobs(None), shots, standard_error, tuple(costs))
