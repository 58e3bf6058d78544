"""Cost of a run: estimate, caps, and the user's consent."""

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any

from qweft.devices.device import DeviceError, Named, OutOfBudgetError, RemoteDevice
from qweft.devices.prices import Charge, Price
from qweft.text import many

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True)
class Estimate:
    """Estimated cost of distinct circuits on a device; `cached` have results (`None` if not known beforehand)."""

    device: str
    takes_jobs: bool
    circuits: int
    cached: int | None
    shots: tuple[int | None, ...]
    jobs: int
    charge: Charge
    free: bool
    source: str

    @property
    def needs_consent(self) -> bool:
        """Whether to ask the user: circuits would be sent as jobs, or cost or may cost money."""
        return self.circuits > (self.cached or 0) and (self.takes_jobs or not self.free)

    def to_json(self) -> dict[str, Any]:
        """Return all fields."""
        fields = asdict(self)
        return fields | fields.pop("charge")

    def describe(self) -> "Table":
        """Return a table for a terminal."""
        from rich.table import Table

        known = " at most; what has results already is not measured again"
        if self.cached is not None:
            known = f", of which {self.cached:,} have results"
        money, seconds = self.charge.money, self.charge.seconds
        price = "not known" if money is None else "nothing" if self.free else f"{money:,.2f} {self.charge.currency}"
        time = "not known" if seconds is None else f"about {seconds:,.0f} s on the device, without queues"
        shots = [f"{shots:,} of each circuit" if shots else "none, exact probabilities" for shots in self.shots]
        table = Table.grid(padding=(0, 2))
        table.add_row("device", self.device)
        table.add_row("circuits", f"{self.circuits:,}{known}")
        table.add_row("shots", "; ".join(shots))
        table.add_row("jobs", f"{self.jobs:,}")
        table.add_row("time", time)
        table.add_row("money", f"{price} ({self.source})" if self.source else price)
        return table


def estimate(
    device: Named,
    price: Price,
    circuits: int,
    shots: int | None,
    cached: int | None = None,
    jobs: int | None = None,
) -> Estimate:
    """Estimate the cost of this many circuits, in the fewest jobs that the device allows if `jobs` is not given."""
    left = circuits - (cached or 0)
    if jobs is None:
        jobs = -(-left // (device.limits.circuits_at(shots) or max(left, 1)))
    return Estimate(
        device=device.name,
        takes_jobs=isinstance(device, RemoteDevice),
        circuits=circuits,
        cached=cached,
        shots=(shots,),
        jobs=jobs,
        charge=price.charge(jobs, left, shots or 0),
        free=price.free,
        source=f"{price.source}, {price.date}" if price.date else price.source,
    )


def together(parts: Sequence[Estimate]) -> Estimate:
    """Sum the estimates of consecutive runs on one device, whose `cached` must be `None`."""
    return replace(
        parts[0],
        circuits=sum(part.circuits for part in parts),
        shots=tuple(dict.fromkeys(shots for part in parts for shots in part.shots)),
        jobs=sum(part.jobs for part in parts),
        charge=reduce(add, (part.charge for part in parts)),
    )


@dataclass(frozen=True)
class Caps:
    """Limits on what a run may send; `None` means no cap.

    Args:
        circuits: Circuits, whatever their shots. Repeats and the circuits of a mitigation count too.
        money: In the currency of the device's price.
        seconds: Time on the device.
    """

    circuits: int | None = None
    money: float | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        for what, cap in vars(self).items():
            if cap is not None and not cap >= 0:  # every comparison with NaN is false, so NaN would cap nothing
                raise DeviceError(f"a cap on {what} is a number of at least 0, got {cap:g}; leave it out for no cap")


class Budget:
    """Caps, and what this process has spent on a device, whose price or speed must be known where it is capped."""

    def __init__(self, device: str, price: Price, caps: Caps | None = None) -> None:
        self.device, self.price, self.caps = device, price, caps or Caps()
        self.jobs = self.circuits = 0
        self.money = self.seconds = 0.0
        one = price.charge(1, 1, 1)
        for what in ("money", "seconds"):
            if getattr(self.caps, what) is not None and getattr(one, what) is None:
                raise DeviceError(
                    f"a cap on {what} cannot be kept: what device {device} takes is not known; add it to "
                    "~/.config/qweft/prices.yaml, or cap the circuits"
                )

    def spend(self, circuits: int, shots: int) -> Charge:
        """Count a job before it is sent and return its cost; raise `OutOfBudgetError` if it exceeds the rest."""
        charge = self._count(circuits, shots)
        for what, cap in vars(self.caps).items():
            spent = getattr(self, what)
            if cap is not None and spent > cap * (1 + 1e-9):  # sums of prices have rounding errors
                self.refund(circuits, shots)
                unit = charge.currency if what == "money" else what
                raise OutOfBudgetError(
                    f"device {self.device}: the next job of {many(circuits, 'circuit')} with {many(shots, 'shot')} "
                    f"would bring this run to {spent:.6g} {unit}, and the cap is {cap:g}; it was not sent, what came "
                    "is kept"
                )
        return charge

    def refund(self, circuits: int, shots: int) -> None:
        """Uncount a job that the provider certainly did not accept."""
        self._count(circuits, shots, -1)

    def _count(self, circuits: int, shots: int, sign: int = 1) -> Charge:
        charge = self.price.charge(1, circuits, shots)
        self.jobs += sign
        self.circuits += sign * circuits
        self.money += sign * (charge.money or 0.0)
        self.seconds += sign * (charge.seconds or 0.0)
        return charge


def confirm(estimate: Estimate, yes: bool) -> None:
    """Print the estimate and ask for consent if circuits would be sent or may cost money; `yes` agrees beforehand."""
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
