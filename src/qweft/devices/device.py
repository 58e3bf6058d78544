"""The protocol of a device: what it offers, its settings and its errors."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from qweft import errors
from qweft.devices.bound import BoundCircuits
from qweft.devices.outcomes import Frequencies
from qweft.errors import QweftError


class DeviceError(QweftError):
    """A device cannot do what it was asked for; one sentence with the way out."""


class RefusedError(DeviceError):
    """The provider will not take this: trying again would not help (no credentials, no such chip, a faulty circuit)."""


class UnavailableError(DeviceError):
    """The provider did not answer, or asks to come later: trying again may help."""


class NotTakenError(UnavailableError):
    """The provider did not answer when a job was sent, and certainly did not take it: it may be sent again."""


class OutOfBudgetError(DeviceError):
    """Going on would cost more than the user allowed; nothing further was sent."""


@dataclass(frozen=True)
class DeviceSettings:
    """How a device is to work; a device takes of it what concerns it.

    Args:
        seed: Of simulated shots.
        noise: Name of a noise model, or path of its YAML file; none means the device's own.
        noise_scale: Every probability of error of the noise model times this.
    """

    seed: int = 0
    noise: str | None = None
    noise_scale: float = 1.0


def require(module: str, extra: str, what: str) -> Any:
    """As `qweft.errors.require`.

    Raises:
        DeviceError: If the module is not installed, or does not load.
    """
    try:
        return errors.require(module, extra, what)
    except QweftError as error:
        raise DeviceError(str(error)) from error


@dataclass(frozen=True)
class Limits:
    """What a device takes at most.

    Args:
        qubits: Qubits of a circuit; none means that memory is the limit.
        circuits: Circuits of one job; none means any number.
        shots: Shots of a circuit; none means any number.
        executions: Circuits of one job times their shots; none means any number.
    """

    qubits: int | None = None
    circuits: int | None = None
    shots: int | None = None
    executions: int | None = None

    def circuits_at(self, shots: int | None) -> int | None:
        """Circuits of one job with so many shots each; none means any number."""
        if self.executions is None or not shots:
            return self.circuits
        most = max(1, self.executions // shots)
        return most if self.circuits is None else min(self.circuits, most)


class Named:
    """What devices of both kinds say of themselves.

    Args:
        name: As the user gave it ("shots", "qiskit:aer", "origin:WK_C180").
    """

    limits = Limits()
    keeps_results = True
    """Whether results are worth keeping on disk: not where computing them again is as quick and gives the same."""

    def __init__(self, name: str) -> None:
        self.name = name

    def identity(self) -> str:
        """All that its results depend on beside circuit and shots: its settings, a seed, a noise model.

        Two devices with equal identities may use each other's results.
        """
        return self.name

    def calibration(self) -> str:
        """When the chip was calibrated last, as its provider says it; empty for a simulator."""
        return ""

    def check(self, shots: int | None) -> None:
        """See that the device can do it, before anything is run.

        Raises:
            DeviceError: If a package or credentials are missing, or it takes no such number of shots.
        """


class Device(Named, ABC):
    """Runs circuits and answers at once."""

    @abstractmethod
    def run(self, circuits: BoundCircuits, shots: int | None) -> Frequencies:
        """Measure every circuit.

        The same circuit gives the same frequencies on a simulator with a seed, whatever is run beside it.

        Args:
            circuits: At most `limits.circuits` of them.
            shots: Measurements of each; none asks for exact probabilities, which only simulators have.

        Raises:
            RefusedError: If the device will never do it.
            UnavailableError: If it may do it later.
        """


class JobState(Enum):
    """Where a job stands at its provider."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class RemoteDevice(Named, ABC):
    """Takes jobs, which cost money and outlive this process."""

    can_find = False
    """Whether `find` can tell for certain that a job with a token does not exist."""

    @abstractmethod
    def submit(self, circuits: BoundCircuits, shots: int, token: str) -> str:
        """Send a job and return its provider's id for it.

        Args:
            circuits: At most `limits.circuits_at(shots)`.
            shots: Measurements of each.
            token: Ours for this job, unique; sent along where the provider keeps tags.

        Raises:
            RefusedError: If nothing was taken and nothing ever will be.
            NotTakenError: If nothing was taken, for certain, and it may be sent again later.
            UnavailableError: If nobody knows whether it was taken: `find` tells, where `can_find`, else the user.
        """

    @abstractmethod
    def state(self, job: str) -> JobState:
        """Where the job stands.

        Raises:
            UnavailableError: If the provider does not answer.
            RefusedError: If it knows no such job.
        """

    @abstractmethod
    def fetch(self, job: str, circuits: BoundCircuits, shots: int) -> dict[int, dict[str, int]]:
        """The counts of a finished job by bit string, qubit 0 first, for each circuit's place; some may be missing.

        Raises:
            UnavailableError: If the provider does not answer.
            RefusedError: If the job failed; the sentence says why, in the provider's words.
        """

    def find(self, token: str) -> str | None:
        """The id of the job that was sent with this token, if the provider has one."""
        return None

    @abstractmethod
    def cancel(self, job: str) -> None:
        """Ask the provider to stop a job; one that is over stays as it is."""


class Runner(Protocol):
    """A device that answers at once, or an executor in front of one that takes jobs."""

    def run(self, circuits: BoundCircuits, shots: int | None) -> Frequencies:
        """Measure every circuit."""
        ...
