"""What an error of another package says of the request that it answers, and which of our errors it becomes."""

from enum import Enum

from qweft.devices.errors import DeviceError, NotTakenError, RefusedError, UnavailableError


class Fate(Enum):
    """What became of a request."""

    REFUSED = "not done, and asking again changes nothing"
    LATER = "not done, for certain, and it may be asked again"
    UNKNOWN = "nobody knows"


class Step(Enum):
    """What was being done; only a job that is being sent can be taken without our knowing it."""

    ASKING = "a question, which changes nothing at the provider"
    PREPARING = "a job is made and has not left this machine"
    SENDING = "a job is sent"


def error_of(fate: Fate, step: Step, sentence: str) -> DeviceError:
    """Our error, of the kind that tells the ledger whether the job may be sent again."""
    if fate is Fate.REFUSED:
        return RefusedError(sentence)
    if step is Step.PREPARING or (step is Step.SENDING and fate is Fate.LATER):
        return NotTakenError(sentence)
    return UnavailableError(sentence)
