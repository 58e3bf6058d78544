"""What a run may cost at most, counted by what was really sent."""

from dataclasses import dataclass

from qweft.devices.errors import DeviceError, OutOfBudgetError
from qweft.devices.jobs.prices import Charge, Price
from qweft.plural import many


@dataclass(frozen=True)
class Caps:
    """The most that a run may send; none means no cap.

    Args:
        circuits: Circuits, whatever their shots; repeats and those of a mitigation count too.
        money: In the currency of the device's price.
        seconds: On the device.

    Raises:
        DeviceError: If one is no number, or below 0.
    """

    circuits: int | None = None
    money: float | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        for what, cap in vars(self).items():
            if cap is not None and not cap >= 0:  # nan compares with nothing, and would cap nothing
                raise DeviceError(f"a cap on {what} is a number of at least 0, got {cap:g}; leave it out for no cap")


class Budget:
    """Caps, and what has been spent of them by this process.

    What an earlier process sent is not counted again: its results are there, or its jobs are waited for.

    Args:
        device: Name of the device, for sentences.
        price: What it costs.
        caps: The most that may be sent.

    Raises:
        DeviceError: If money or time is capped, and nobody knows what the device takes of it.
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
        """Count a job before it is sent.

        Args:
            circuits: Of the job.
            shots: Of each circuit.

        Returns:
            What it takes.

        Raises:
            OutOfBudgetError: If that is more than is left; nothing was counted.
        """
        charge = self.price.charge(1, circuits, shots)
        for what, spent, more, cap in (
            ("circuits", self.circuits, circuits, self.caps.circuits),
            (charge.currency or "money", self.money, charge.money or 0.0, self.caps.money),
            ("seconds", self.seconds, charge.seconds or 0.0, self.caps.seconds),
        ):
            if cap is not None and spent + more > cap * (1 + 1e-9):  # sums of prices round
                job = f"the next job of {many(circuits, 'circuit')} with {many(shots, 'shot')}"
                raise OutOfBudgetError(
                    f"device {self.device}: {job} would bring this run to {spent + more:.6g} {what}, and the cap is "
                    f"{cap:g}; it was not sent, what came is kept"
                )
        self._count(1, circuits, charge)
        return charge

    def refund(self, circuits: int, shots: int) -> None:
        """Take a job back that was certainly not taken by the provider."""
        self._count(-1, circuits, self.price.charge(1, circuits, shots))

    def _count(self, sign: int, circuits: int, charge: Charge) -> None:
        self.jobs += sign
        self.circuits += sign * circuits
        self.money += sign * (charge.money or 0.0)
        self.seconds += sign * (charge.seconds or 0.0)
