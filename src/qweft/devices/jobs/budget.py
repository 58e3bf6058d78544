"""What a run would send: an estimate of circuits and jobs, a cap on circuits, and the user's consent."""

import sys
from dataclasses import dataclass
from typing import Any

from rich.table import Table
from rich.text import Text

from qweft.core.output import Console
from qweft.core.text import many
from qweft.devices.device import BaseDevice, DeviceError, OutOfBudgetError


@dataclass(frozen=True)
class Estimate:
    """What distinct circuits would take on a device.

    Args:
        device: The device.
        circuits: Number of circuits, those with results included.
        jobs: Number of jobs for the circuits without results.
        shots: Shots of each circuit, one entry for each setting. `None` stands for exact probabilities.
        cached: Number of circuits that have results. `None` if it is not known beforehand.
    """

    device: BaseDevice
    circuits: int
    jobs: int
    shots: tuple[int | None, ...]
    cached: int | None = None

    @property
    def needs_consent(self) -> bool:
        """Whether to ask the user: circuits would be sent to a provider that may ask money for them."""
        return self.device.may_bill and self.circuits > (self.cached or 0)

    def to_json(self) -> dict[str, Any]:
        """Return all numbers."""
        return {
            "device": self.device.name,
            "circuits": self.circuits,
            "cached": self.cached,
            "jobs": self.jobs,
            "shots": self.shots,
        }

    def describe(self) -> Table:
        """Return a table for a terminal."""
        known = " at most; what has results already is not measured again"
        if self.cached is not None:
            known = f", of which {self.cached:,} have results"
        shots = [f"{shots:,} of each circuit" if shots else "none, exact probabilities" for shots in self.shots]
        return labelled_table(
            {
                "device": self.device.name,
                "circuits": f"{self.circuits:,}{known}",
                "shots": "; ".join(shots),
                "jobs": f"{self.jobs:,}",
            }
        )


def labelled_table(rows: dict[str, object]) -> Table:
    """Return a table for a terminal with a row for each label whose value is not empty."""
    table = Table.grid(padding=(0, 2))
    for label, value in rows.items():
        if value:
            table.add_row(label, Text(str(value)))  # in a str, a provider's brackets would be markup
    return table


def estimate(device: BaseDevice, circuits: int, shots: int | None, cached: int = 0) -> Estimate:
    """Estimate what this many circuits take, in the fewest jobs that the device allows."""
    to_send = circuits - cached
    circuits_a_job = device.limits.circuits_at(shots) or max(to_send, 1)
    jobs = -(-to_send // circuits_a_job)  # rounded up
    return Estimate(device, circuits, jobs, (shots,), cached)


@dataclass
class CircuitBudget:
    """Counts the circuits that this process sends to a device, and stops before the job that would exceed a cap.

    Args:
        max_circuits: Most circuits. Repeats and the circuits of a mitigation count too. `None` means no cap.
        spent: Number of circuits so far.
    """

    max_circuits: int | None = None
    spent: int = 0

    def spend(self, circuits: int) -> None:
        """Count the circuits of a job before it is sent; raise `OutOfBudgetError` if they exceed the cap."""
        total = self.spent + circuits
        if self.max_circuits is not None and total > self.max_circuits:
            raise OutOfBudgetError(
                f"the next job of {many(circuits, 'circuit')} would bring this run to {total:,}, more than the cap of "
                f"{self.max_circuits:,}; it was not sent, and results so far are kept; raise the cap to go on"
            )
        self.spent = total

    def refund(self, circuits: int) -> None:
        """Uncount the circuits of a job that the provider certainly did not accept."""
        self.spent -= circuits


def confirm(estimate: Estimate, yes: bool) -> None:
    """Print the estimate and ask for consent if circuits would be sent; `yes` agrees beforehand."""
    if not estimate.needs_consent:
        return
    terminal = Console(stderr=True)
    terminal.print(estimate.describe())
    if yes:
        return
    device = estimate.device.name
    if not (sys.stdin and sys.stdin.isatty()):
        raise DeviceError(f"device {device}: nothing was sent, as there is no terminal to ask at; pass --yes to agree")
    if terminal.input("Send this? [y/N] ", markup=False).strip().lower() not in ("y", "yes"):
        raise DeviceError(f"device {device}: nothing was sent, as you did not agree")
