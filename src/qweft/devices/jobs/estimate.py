"""What a run will take, before anything is sent."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from qweft.devices.device import Named, RemoteDevice
from qweft.devices.jobs.prices import Price

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True)
class Estimate:
    """What some circuits will take on a device.

    Args:
        device: Its name.
        takes_jobs: Whether it takes jobs, which outlive this process.
        circuits: Circuits that are asked for, each different one once.
        cached: How many of them have results already; none where that is not known beforehand.
        other_calibrations: How many have results of other calibrations only.
        shots: Of each circuit, one number after the other; none asks for exact probabilities.
        jobs: Number of jobs.
        seconds: On the device, without queues; none where nothing is known of its speed.
        money: None where no price is known.
        currency: Of the money.
        free: Whether the device is known to cost nothing.
        source: Where the price was read, and when.
    """

    device: str
    takes_jobs: bool
    circuits: int
    cached: int | None
    other_calibrations: int
    shots: tuple[int | None, ...]
    jobs: int
    seconds: float | None
    money: float | None
    currency: str
    free: bool
    source: str

    @property
    def needs_consent(self) -> bool:
        """Whether the user is to be asked: something would be sent as a job, or costs money, or may cost some."""
        return self.circuits > (self.cached or 0) and (self.takes_jobs or not self.free)

    def to_json(self) -> dict[str, Any]:
        """All of it, as JSON holds it."""
        return asdict(self)

    def describe(self) -> "Table":
        """As a table for a terminal."""
        from rich.table import Table

        table = Table.grid(padding=(0, 2))
        for name, value in self._lines():
            table.add_row(name, value)
        return table

    def _lines(self) -> list[tuple[str, str]]:
        if self.cached is None:
            known = " at most; what has results already is not measured again"
        else:
            known = f", of which {self.cached:,} have results"
        if self.other_calibrations:
            known += f" ({self.other_calibrations:,} more under other calibrations of the chip)"
        price = f" ({self.source})" if self.source else ""
        return [
            ("device", self.device),
            ("circuits", f"{self.circuits:,}{known}"),
            ("shots", self._shots()),
            ("jobs", f"{self.jobs:,}"),
            (
                "time",
                "not known" if self.seconds is None else f"about {self.seconds:,.0f} s on the device, without queues",
            ),
            ("money", f"{self._money()}{price}"),
        ]

    def _shots(self) -> str:
        numbers = [f"{shots:,} of each circuit" for shots in self.shots if shots is not None]
        return "; ".join([*numbers, *(["none, exact probabilities"] if None in self.shots else [])])

    def _money(self) -> str:
        if self.money is None:
            return "not known"
        return "nothing" if self.free else f"{self.money:,.2f} {self.currency}"


def estimate(
    device: Named,
    price: Price,
    circuits: int,
    shots: int | None,
    cached: int | None = None,
    other_calibrations: int = 0,
    jobs: int | None = None,
) -> Estimate:
    """What so many circuits will take.

    Args:
        device: The device.
        price: What it costs.
        circuits: Different circuits; an upper bound serves where they are not known yet (tokens times layers).
        shots: Of each.
        cached: How many have results already.
        other_calibrations: How many have results of other calibrations only.
        jobs: How many jobs it takes, where circuits wait for each other; by default as few as the device allows.
    """
    left = circuits - (cached or 0)
    if jobs is None:
        jobs = -(-left // (device.limits.circuits_at(shots) or max(left, 1)))
    charge = price.charge(jobs, left, shots or 0)
    source = f"{price.source}, {price.date}" if price.date else price.source
    return Estimate(
        device.name, isinstance(device, RemoteDevice), circuits, cached, other_calibrations, (shots,), jobs,
        charge.seconds, charge.money, charge.currency, price.free, source,
    )  # fmt: skip


def together(parts: Sequence[Estimate]) -> Estimate:
    """What some runs of one device take, one after the other.

    Args:
        parts: At least one; of none of them is known what has results already.
    """
    first = parts[0]
    seconds = [part.seconds for part in parts if part.seconds is not None]
    money = [part.money for part in parts if part.money is not None]
    return replace(
        first,
        circuits=sum(part.circuits for part in parts),
        shots=tuple(dict.fromkeys(shots for part in parts for shots in part.shots)),
        jobs=sum(part.jobs for part in parts),
        seconds=sum(seconds) if len(seconds) == len(parts) else None,
        money=sum(money) if len(money) == len(parts) else None,
    )
