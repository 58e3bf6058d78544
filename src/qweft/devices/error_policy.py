"""Turn errors of other packages into ours, on one line and without credentials."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from enum import Enum

from qweft.devices.device import DeviceError, NotTakenError, RefusedError, UnavailableError
from qweft.redaction import without_secrets


class Fate(Enum):
    """Outcome of a request to a provider."""

    REFUSED = "not done, and asking again changes nothing"
    LATER = "not done, for certain, and it may be asked again"
    UNKNOWN = "nobody knows"


class Step(Enum):
    """Stage of a request. Only while a job is sent can it be accepted without our knowledge."""

    ASKING = "a question, which changes nothing at the provider"
    PREPARING = "a job is made and has not left this machine"
    SENDING = "a job is sent"


def error_of(fate: Fate, step: Step, sentence: str) -> DeviceError:
    """Return the `DeviceError` that tells the ledger whether the job may be sent again."""
    if fate is Fate.REFUSED:
        return RefusedError(sentence)
    if step is Step.PREPARING or (step is Step.SENDING and fate is Fate.LATER):
        return NotTakenError(sentence)
    return UnavailableError(sentence)


def one_line(error: BaseException, more: Iterable[str] = ()) -> str:
    """Return an exception's message on one line without credentials, or its type if the message is empty.

    Half a surrogate pair, which JSON can hold and the ledger cannot, is written as an escape.
    """
    text = str(error).encode(errors="backslashreplace").decode()
    return " ".join(without_secrets(text, more).split()) or type(error).__name__


@contextmanager
def told(device: str, fate_of: Callable[[Exception, Step], Fate], step: Step = Step.ASKING) -> Iterator[None]:
    """Convert exceptions of a provider's package into ours, without credentials."""
    try:
        yield
    except DeviceError:
        raise
    except Exception as error:
        sentence = f"device {device}: {one_line(error)}"
        raise error_of(fate_of(error, step), step, sentence) from None  # the cause may show a credential


def unknown_places(device: str) -> RefusedError:
    """Return the error of a device whose readout errors cannot be calibrated."""
    return RefusedError(
        f"device {device} does not tell on which qubits it puts a circuit, so errors in reading out cannot be measured "
        "for them; leave readout mitigation out"
    )
