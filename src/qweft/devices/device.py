"""What a device and a family of devices offer, their settings, and their errors.

A `Device` answers in the same call. A `RemoteDevice` takes jobs, which `qweft.devices.jobs` sends and collects. Both
turn whatever a provider's package raises into the errors below. They differ in what has to follow: whether a retry may
help, and whether the provider may have accepted a job, and may bill it.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Any, ClassVar, Literal, Protocol

from qweft.core.errors import QweftError, require
from qweft.core.redaction import without_secrets
from qweft.devices.bound import BoundCircuits
from qweft.devices.outcomes import Frequencies


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


@dataclass(frozen=True)
class Limits:
    """Upper limits of a device; `None` means no limit.

    Args:
        qubits: Qubits of a circuit. `None` means that memory is the limit.
        circuits: Circuits of one job.
        executions: Shots of all circuits of one job together.
    """

    qubits: int | None = None
    circuits: int | None = None
    executions: int | None = None

    def circuits_at(self, shots: int | None) -> int | None:
        """Return how many circuits with this many shots fit in one job."""
        if self.executions is None or not shots:
            return self.circuits
        by_executions = max(1, self.executions // shots)
        if self.circuits is None:
            return by_executions
        return min(self.circuits, by_executions)


Step = Literal["asking", "preparing", "sending"]
"""Stage of a request. Only while a job is sent can it be accepted without our knowledge."""


class BaseDevice:
    """What all devices have in common; the name is as the user gave it."""

    limits = Limits()
    may_bill = True
    """Whether a provider may ask money for circuits. False for a simulator on this machine."""
    keeps_results = True
    """Whether to store results on disk. False where recomputing is as fast and gives the same result."""
    meanings: ClassVar[tuple[tuple[str, type[DeviceError]], ...]] = ()
    """(pattern, error) for exceptions of the provider's package. The first pattern that occurs in "STEP MODULE.TYPE:
    MESSAGE", in any case, decides; `UnavailableError` if none does."""

    package = ""
    """Module that the device needs. The extra that installs it is named as the family."""
    library: Any = None
    """That module, imported."""

    def __init__(self, name: str) -> None:
        self.name = name
        family, _, self.target = name.partition(":")
        if self.package:
            self.library = require(self.package, family, f"device {name}")

    def identity(self) -> str:
        """Return all that results depend on besides circuit and shots; equal identities share results."""
        return self.name

    def calibration(self) -> str:
        """Return an identifier of the chip's latest calibration, often its date. Empty for a simulator."""
        return ""

    def check(self, shots: int | None) -> None:
        """Raise `DeviceError` if a package, credentials or the device are missing, or it cannot do these shots."""

    @contextmanager
    def translate_errors(self, step: Step = "asking") -> Iterator[None]:
        """Turn exceptions of a provider's package into ours, which tell the ledger whether a job may be sent again."""
        try:
            yield
        except QweftError:
            raise
        except Exception as error:
            message = one_line(error)
            error_type = self._classify(step, error, message)
            raise error_type(f"device {self.name}: {message}") from None  # the cause may show a credential

    def _classify(self, step: Step, error: Exception, message: str) -> type[DeviceError]:
        """Return our type for an exception that a provider's package raised in a step."""
        text = f"{step} {type(error).__module__}.{type(error).__name__}: {message}"
        meaning: type[DeviceError] = UnavailableError
        for pattern, error_type in self.meanings:
            if re.search(pattern, text, re.IGNORECASE):
                meaning = error_type
                break
        if meaning is RefusedError or step == "sending":
            return meaning
        # no job can have been accepted before one is sent, and a question has none to accept
        return NotTakenError if step == "preparing" else UnavailableError

    def refuse_calibration(self, circuits: BoundCircuits) -> None:
        """Raise if circuits calibrate readout errors, where it is not known on which qubits they would run."""
        if circuits.placed_like is not None:
            raise RefusedError(
                f"device {self.name} does not tell on which qubits it puts a circuit; leave readout mitigation out"
            )


class Device(BaseDevice, ABC):
    """A device that runs circuits and returns results directly."""

    @abstractmethod
    def run(self, circuits: BoundCircuits, shots: int | None) -> Frequencies:
        """Measure every circuit, at most `limits.circuits` of them.

        On a simulator with a seed, equal circuits give equal frequencies, whichever other circuits the call has.
        Without shots it returns exact probabilities, which only simulators have.

        Raises:
            RefusedError: A retry will not help.
            UnavailableError: A retry may help.
        """


class JobState(Enum):
    """State of a job at its provider. The aliases are the names that IBM and Origin use."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    # IBM
    INITIALIZING = QUEUED
    ERROR = FAILED
    # Origin
    WAITING = QUEUED
    QUEUING = QUEUED
    COMPUTING = RUNNING
    FINISHED = DONE


class RemoteDevice(BaseDevice, ABC):
    """A device that takes jobs, which cost money and outlive this process.

    A question that the provider does not answer raises `UnavailableError`, one that it rejects `RefusedError`.
    """

    can_find = False
    """Whether `find` can establish that no job with a given token exists."""

    @abstractmethod
    def submit(self, circuits: BoundCircuits, shots: int, token: str) -> str:
        """Submit a job of at most `limits.circuits_at(shots)` circuits, with our unique token as a tag if possible.

        Return the provider's id.

        Raises:
            RefusedError: The provider did not accept the job and never will.
            NotTakenError: The provider certainly did not accept the job. It can be sent again later.
            UnavailableError: It is unknown whether the provider accepted the job. If `can_find`, `find` tells;
                otherwise the user has to look it up.
        """

    @abstractmethod
    def state(self, job: str) -> JobState:
        """Return the state of a job, by the provider's id."""

    @abstractmethod
    def fetch(self, job: str, circuits: BoundCircuits, shots: int) -> dict[int, dict[str, int]]:
        """Return counts by bit string, qubit 0 first, by circuit; some may be missing. `RefusedError` if it failed."""

    def find(self, token: str) -> str | None:
        """Return the id of the job that was submitted with this token, or `None`."""
        return None

    @abstractmethod
    def cancel(self, job: str) -> None:
        """Ask the provider to stop a job; `RefusedError` if it has ended."""


class CircuitRunner(Protocol):
    """Anything that measures circuits: a `Device`, or an `Executor` in front of any device."""

    def run(self, circuits: BoundCircuits, shots: int | None) -> Frequencies: ...  # noqa: D102


@dataclass(frozen=True)
class CatalogueEntry:
    """A row of `qweft devices`.

    Args:
        name: Name of the device, with capitals for what the user fills in: "qiskit:ibm_NAME".
        what: What it is, in a few words.
        packages: Modules that it needs, which the family's extra installs.
    """

    name: str
    what: str
    packages: tuple[str, ...] = ()


@dataclass(frozen=True)
class Provider:
    """A family of devices, named "FAMILY:TARGET". Each module of `providers`, named as its family, has a `PROVIDER`.

    Args:
        make: Creates a device from (name as the user gave it, target, settings), and imports the family's packages.
        entries: The family's rows in `qweft devices`.
        credentials: Returns the saved credentials, which no message may show. It imports nothing, because every error
            message asks for them.
    """

    make: Callable[[str, str, DeviceSettings], Device | RemoteDevice]
    entries: tuple[CatalogueEntry, ...] = ()
    credentials: Callable[[], Iterable[str]] = tuple


def one_line(message: object) -> str:
    """Return an exception's message on one line without credentials, or its type if the message is empty."""
    text = str(message).encode(errors="backslashreplace").decode()  # the ledger cannot hold half a surrogate pair
    return " ".join(without_secrets(text).split()) or type(message).__name__
