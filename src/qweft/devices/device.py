"""The device protocol: what a device offers, its settings and its errors."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from qweft import errors
from qweft.devices.bound import BoundCircuits
from qweft.devices.outcomes import Frequencies
from qweft.errors import QweftError


class DeviceError(QweftError):
    """A device cannot do what was requested. The message is one sentence with the way out."""


class RefusedError(DeviceError):
    """The provider rejects the request and a retry will not help: no credentials, unknown chip, faulty circuit."""


class UnavailableError(DeviceError):
    """The provider did not answer or asked to try later. A retry may help."""


class NotTakenError(UnavailableError):
    """The provider certainly did not accept a submitted job, so it can be sent again."""


class OutOfBudgetError(DeviceError):
    """Continuing would exceed the user's budget. Nothing more was sent."""


@dataclass(frozen=True)
class DeviceSettings:
    """Settings of a device. Each device uses those that apply to it.

    Args:
        seed: Seed of simulated shots.
        noise: Name of a noise model, or path of its YAML file. `None` means the device's own noise.
        noise_scale: Factor on every error probability of the noise model.
    """

    seed: int = 0
    noise: str | None = None
    noise_scale: float = 1.0


def require(module: str, extra: str, what: str) -> Any:
    """Import a package as `qweft.errors.require` does.

    Raises:
        DeviceError: The module is not installed or does not load.
    """
    try:
        return errors.require(module, extra, what)
    except QweftError as error:
        raise DeviceError(str(error)) from error


@dataclass(frozen=True)
class Limits:
    """Upper limits of a device.

    Args:
        qubits: Qubits of a circuit. `None` means that memory is the limit.
        circuits: Circuits of one job. `None` means no limit.
        shots: Shots of a circuit. `None` means no limit.
        executions: Shots of all circuits of one job together. `None` means no limit.
    """

    qubits: int | None = None
    circuits: int | None = None
    shots: int | None = None
    executions: int | None = None

    def circuits_at(self, shots: int | None) -> int | None:
        """Return how many circuits with this many shots fit in one job. `None` means no limit."""
        if self.executions is None or not shots:
            return self.circuits
        most = max(1, self.executions // shots)
        return most if self.circuits is None else min(self.circuits, most)


class Named:
    """What all devices have in common: a name, an identity and limits.

    Args:
        name: As the user gave it ("shots", "qiskit:aer", "origin:WK_C180").
    """

    limits = Limits()
    keeps_results = True
    """Whether to store results on disk. False where recomputing is as fast and gives the same result."""

    def __init__(self, name: str) -> None:
        self.name = name

    def identity(self) -> str:
        """Return everything but circuit and shots that results depend on: name, seed, noise model, settings.

        Devices with equal identities may reuse each other's results.
        """
        return self.name

    def calibration(self) -> str:
        """Return an identifier of the chip's latest calibration, often its date. Empty for a simulator."""
        return ""

    def check(self, shots: int | None) -> None:
        """Check before a run that the device can execute it.

        Raises:
            DeviceError: A package or credentials are missing, or the device does not support this number of shots.
        """


class Device(Named, ABC):
    """A device that runs circuits and returns results directly."""

    @abstractmethod
    def run(self, circuits: BoundCircuits, shots: int | None) -> Frequencies:
        """Measure every circuit.

        On a simulator with a seed, equal circuits give equal frequencies, whichever other circuits the call has.

        Args:
            circuits: At most `limits.circuits` of them.
            shots: Measurements of each circuit. `None` requests exact probabilities, which only simulators have.

        Raises:
            RefusedError: A retry will not help.
            UnavailableError: A retry may help.
        """


class JobState(Enum):
    """State of a job at its provider."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class RemoteDevice(Named, ABC):
    """A device that takes jobs. They cost money and outlive this process."""

    can_find = False
    """Whether `find` can establish that no job with a given token exists."""

    @abstractmethod
    def submit(self, circuits: BoundCircuits, shots: int, token: str) -> str:
        """Submit a job and return the provider's id.

        Args:
            circuits: At most `limits.circuits_at(shots)` of them.
            shots: Measurements of each circuit.
            token: Our unique token of the job, sent along where the provider supports tags.

        Raises:
            RefusedError: The provider did not accept the job and never will.
            NotTakenError: The provider certainly did not accept the job. It can be sent again later.
            UnavailableError: It is unknown whether the provider accepted the job. If `can_find`, `find` tells;
                otherwise the user has to look it up.
        """

    @abstractmethod
    def state(self, job: str) -> JobState:
        """Return the job's state at the provider.

        Raises:
            UnavailableError: The provider does not answer.
            RefusedError: The provider does not know the job.
        """

    @abstractmethod
    def fetch(self, job: str, circuits: BoundCircuits, shots: int) -> dict[int, dict[str, int]]:
        """Return the counts of a finished job.

        Returns:
            For each circuit's index in the job, counts by bit string with qubit 0 first. Circuits may be missing.

        Raises:
            UnavailableError: The provider does not answer.
            RefusedError: The job failed. The message gives the provider's reason.
        """

    def find(self, token: str) -> str | None:
        """Return the id of the job that was submitted with this token, or `None`."""
        return None

    @abstractmethod
    def cancel(self, job: str) -> None:
        """Ask the provider to stop a job. A job that has ended is left unchanged."""


class Runner(Protocol):
    """Anything that measures circuits: a `Device`, or an `Executor` in front of any device."""

    def run(self, circuits: BoundCircuits, shots: int | None) -> Frequencies:
        """Measure every circuit."""
        ...
