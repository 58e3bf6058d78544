"""Cost of a run: estimate, caps, and the user's consent."""

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from qweft.devices.device import DeviceError, Named, OutOfBudgetError, RemoteDevice
from qweft.devices.jobs.prices import Charge, Price
from qweft.text import many

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True)
class Estimate:
    """Estimated cost of circuits on a device.

    Args:
        device: Name of the device.
        takes_jobs: Whether the device takes jobs, which outlive this process.
        circuits: Number of distinct circuits requested.
        cached: Number of them with stored results. `None` if that is not known beforehand.
        other_calibrations: Number of circuits with results from other calibrations only.
        shots: Distinct shots per circuit. `None` requests exact probabilities.
        jobs: Number of jobs.
        seconds: Time on the device, without queues. `None` if its speed is not known.
        money: In the currency. `None` if no price is known.
        currency: Currency of the money.
        free: Whether the device is known to cost nothing.
        source: Where and when the price was read.
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
        """Whether to ask the user: circuits would be sent as jobs, or cost or may cost money."""
        return self.circuits > (self.cached or 0) and (self.takes_jobs or not self.free)

    def to_json(self) -> dict[str, Any]:
        """Return all fields."""
        return asdict(self)

    def describe(self) -> "Table":
        """Return a table for a terminal."""
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
    """Estimate the cost of this many circuits, in the fewest jobs that the device allows if `jobs` is not given."""
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
    """Sum the estimates of consecutive runs on one device, whose `cached` must be `None`."""
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


@dataclass(frozen=True)
class Caps:
    """Limits on what a run may send. `None` means no cap.

    Args:
        circuits: Circuits, whatever their shots. Repeats and the circuits of a mitigation count too.
        money: In the currency of the device's price.
        seconds: Time on the device.

    Raises:
        DeviceError: A cap is NaN or negative.
    """

    circuits: int | None = None
    money: float | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        for what, cap in vars(self).items():
            if cap is not None and not cap >= 0:  # every comparison with NaN is false, so NaN would cap nothing
                raise DeviceError(f"a cap on {what} is a number of at least 0, got {cap:g}; leave it out for no cap")


class Budget:
    """Caps, and what this process has spent.

    Jobs of earlier processes are not counted again: their results are stored, or the run waits for them.

    Args:
        device: Name of the device, for messages.
        price: Price of the device.
        caps: Limits on what may be sent. `None` means no caps.

    Raises:
        DeviceError: Money or time is capped, but the device's price or speed is not known.
    """

    def __init__(self, device: str, price: Price, caps: Caps | None = None) -> None:
        self.device = device
        self.price = price
        self.caps = caps or Caps()
        self.jobs = 0
        self.circuits = 0
        self.money = 0.0
        self.seconds = 0.0
        one = price.charge(1, 1, 1)
        for what, cap, known in (("money", self.caps.money, one.money), ("seconds", self.caps.seconds, one.seconds)):
            if cap is not None and known is None:
                raise DeviceError(
                    f"a cap of {cap:g} on {what} cannot be kept: what device {device} takes is not known; add it to "
                    "~/.config/qweft/prices.yaml, or cap the circuits"
                )

    def spend(self, circuits: int, shots: int) -> Charge:
        """Count a job before it is sent and return its cost; raise `OutOfBudgetError` if it exceeds the rest."""
        charge = self.price.charge(1, circuits, shots)
        for what, spent, more, cap in (
            ("circuits", self.circuits, circuits, self.caps.circuits),
            (charge.currency or "money", self.money, charge.money or 0.0, self.caps.money),
            ("seconds", self.seconds, charge.seconds or 0.0, self.caps.seconds),
        ):
            if cap is not None and spent + more > cap * (1 + 1e-9):  # sums of prices have rounding errors
                job = f"the next job of {many(circuits, 'circuit')} with {many(shots, 'shot')}"
                raise OutOfBudgetError(
                    f"device {self.device}: {job} would bring this run to {spent + more:.6g} {what}, and the cap is "
                    f"{cap:g}; it was not sent, what came is kept"
                )
        self._count(1, circuits, charge)
        return charge

    def refund(self, circuits: int, shots: int) -> None:
        """Uncount a job that the provider certainly did not accept."""
        self._count(-1, circuits, self.price.charge(1, circuits, shots))

    def _count(self, sign: int, circuits: int, charge: Charge) -> None:
        self.jobs += sign
        self.circuits += sign * circuits
        self.money += sign * (charge.money or 0.0)
        self.seconds += sign * (charge.seconds or 0.0)


def confirm(estimate: Estimate, yes: bool) -> None:
    """Print the estimate to standard error and ask for consent, if circuits would be sent or may cost money.

    Local simulators send nothing, so they never ask, however long they take.

    Args:
        estimate: Estimate of the run.
        yes: Whether the user has already agreed. The estimate is printed anyway.

    Raises:
        DeviceError: The user does not agree, or there is no terminal to ask at.
    """
    if not estimate.needs_consent:
        return
    from qweft.output import Console

    terminal = Console(stderr=True)
    terminal.print(estimate.describe())
    if yes:
        return
    if not (sys.stdin and sys.stdin.isatty()):
        raise DeviceError(
            f"nothing was sent to device {estimate.device}: there is no terminal to ask at; pass --yes to agree"
        )
    if terminal.input("Send this? [y/N] ", markup=False).strip().lower() not in ("y", "yes"):
        raise DeviceError(f"nothing was sent to device {estimate.device}: you did not agree")
