"""Cost of a run: estimate, caps, and the user's consent."""

import sys
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from qweft.core.text import many
from qweft.devices.device import DeviceError, Named, OutOfBudgetError, RemoteDevice
from qweft.devices.prices import Charge, Price

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True)
class Estimate:
    """What distinct circuits would take on a device; `cached` more have results (`None` if not known beforehand)."""

    device: Named
    price: Price
    charge: Charge
    shots: tuple[int | None, ...]
    cached: int | None = None

    @property
    def needs_consent(self) -> bool:
        """Whether to ask the user: circuits would be sent as jobs, or cost or may cost money."""
        return self.charge.circuits > 0 and (isinstance(self.device, RemoteDevice) or not self.price.free)

    @property
    def circuits(self) -> int:
        """All circuits, those with results included."""
        return self.charge.circuits + (self.cached or 0)

    @property
    def source(self) -> str:
        """Where the price is from, and its date."""
        return ", ".join(filter(None, [self.price.source, self.price.date]))

    def to_json(self) -> dict[str, Any]:
        """Return all numbers."""
        return asdict(self.charge) | {
            "device": self.device.name,
            "circuits": self.circuits,
            "cached": self.cached,
            "shots": self.shots,
            "free": self.price.free,
            "source": self.source,
        }

    def describe(self) -> "Table":
        """Return a table for a terminal."""
        known = " at most; what has results already is not measured again"
        if self.cached is not None:
            known = f", of which {self.cached:,} have results"
        money, seconds = self.charge.money, self.charge.seconds
        price = (
            "not known" if money is None else "nothing" if self.price.free else f"{money:,.2f} {self.charge.currency}"
        )
        shots = [f"{shots:,} of each circuit" if shots else "none, exact probabilities" for shots in self.shots]
        return grid(
            {
                "device": self.device.name,
                "circuits": f"{self.circuits:,}{known}",
                "shots": "; ".join(shots),
                "jobs": f"{self.charge.jobs:,}",
                "time": "not known" if seconds is None else f"about {seconds:,.0f} s on the device, without queues",
                "money": f"{price} ({self.source})" if self.source else price,
            }
        )


def grid(rows: dict[str, object]) -> "Table":
    """Return a table for a terminal with the rows that say something."""
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    for name, value in rows.items():
        if value:
            table.add_row(name, Text(str(value)))  # in a str, a provider's brackets would be markup
    return table


def estimate(device: Named, price: Price, circuits: int, shots: int | None, cached: int = 0) -> Estimate:
    """Estimate the cost of this many circuits, in the fewest jobs that the device allows."""
    left = circuits - cached
    jobs = -(-left // (device.limits.circuits_at(shots) or max(left, 1)))
    return Estimate(device, price, price.charge(jobs, left, left * (shots or 0)), (shots,), cached)


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


class Budget:
    """Caps, and what this process has spent on a device, whose price or speed must be known where it is capped."""

    def __init__(self, device: str, price: Price, caps: Caps | None = None) -> None:
        self.device, self.price, self.caps = device, price, caps or Caps()
        self.spent, self.shots = price.charge(0, 0, 0), 0
        for what in ("money", "seconds"):
            if getattr(self.caps, what) is not None and getattr(self.spent, what) is None:
                raise DeviceError(
                    f"a cap on {what} cannot be kept: what device {device} takes is not known; add it to "
                    "~/.config/qweft/prices.yaml, or cap the circuits"
                )

    def spend(self, circuits: int, shots: int, jobs: int = 1) -> Charge:
        """Count a job before it is sent and return its cost; raise `OutOfBudgetError` if it exceeds the rest."""
        all_shots = self.shots + circuits * shots
        spent = self.price.charge(self.spent.jobs + jobs, self.spent.circuits + circuits, all_shots)
        for what, cap in vars(self.caps).items():
            total = getattr(spent, what)
            if cap is not None and total > cap * (1 + 1e-9):  # sums of prices have rounding errors
                unit = spent.currency if what == "money" else what
                raise OutOfBudgetError(
                    f"device {self.device}: the next job of {many(circuits, 'circuit')} with {many(shots, 'shot')} "
                    f"would bring this run to {total:.6g} {unit}, and the cap is {cap:g}; it was not sent, what came "
                    "is kept"
                )
        self.spent, self.shots = spent, all_shots
        return self.price.charge(jobs, circuits, circuits * shots)

    def refund(self, circuits: int, shots: int) -> None:
        """Uncount a job that the provider certainly did not accept."""
        self.spend(-circuits, shots, -1)


def confirm(estimate: Estimate, yes: bool) -> None:
    """Print the estimate and ask for consent if circuits would be sent or may cost money; `yes` agrees beforehand."""
    if not estimate.needs_consent:
        return
    from qweft.core.output import Console

    terminal = Console(stderr=True)
    terminal.print(estimate.describe())
    if yes:
        return
    if not (sys.stdin and sys.stdin.isatty()):
        raise DeviceError(
            f"nothing was sent to device {estimate.device.name}: there is no terminal to ask at; pass --yes to agree"
        )
    if terminal.input("Send this? [y/N] ", markup=False).strip().lower() not in ("y", "yes"):
        raise DeviceError(f"nothing was sent to device {estimate.device.name}: you did not agree")
