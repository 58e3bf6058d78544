"""A job of the ledger, its states, and counts as bytes."""

import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from qweft.devices.outcomes import from_counts
from qweft.text import many, shown

SENDING = "sending"
"""Recorded; whether the provider accepted it is not known yet."""
SENT = "sent"
"""Accepted by the provider, whose id for it is known."""
DONE = "done"
"""Finished with its results stored; `reason` says how many are missing."""
UNSENT = "unsent"
"""Certainly not accepted by the provider."""
REFUSED = "refused"
"""Rejected by the provider."""
FAILED = "failed"
"""Accepted by the provider, but without usable results."""
CANCELLED = "cancelled"
"""Stopped at the provider."""
FORGOTTEN = "forgotten"
"""Given up by the user."""

OPEN = (SENDING, SENT)
"""States of a job whose circuits must not be sent again."""
PAID = (DONE, FAILED, CANCELLED, FORGOTTEN)
"""Final states of a job that was, or may have been, paid for."""

Counts = dict[str, int]
"""Number of times each outcome occurred, by bit string with qubit 0 first."""


@dataclass(frozen=True)
class Job:
    """One row of the ledger.

    Args:
        token: Our unique token.
        name: Name of the device, as the user gave it.
        device: `identity()` of the device.
        calibration: The device's calibration when the job was recorded. Empty for a simulator.
        shots: Measurements of each circuit.
        circuits: Number of circuits.
        state: One of the states above.
        job: The provider's id. `None` until it is known.
        reason: Why the job ended as it did, in the provider's words if available.
        cost: Estimated money. `None` if no price is known.
        currency: Currency of the cost.
        created: Time of recording, in seconds since 1970.
        changed: Time of the last change of state, in seconds since 1970.
    """

    token: str
    name: str
    device: str
    calibration: str
    shots: int
    circuits: int
    state: str
    job: str | None
    reason: str
    cost: float | None
    currency: str
    created: float
    changed: float

    @property
    def size(self) -> str:
        """Number of circuits, as text."""
        return many(self.circuits, "circuit")

    def to_json(self) -> dict[str, Any]:
        """Return all fields."""
        return dict(vars(self))


@dataclass(frozen=True)
class Where:
    """Conditions of a measurement. Together with a circuit's key they identify a result.

    Args:
        device: `identity()` of the device.
        shots: Measurements of each circuit.
        calibration: Calibration of the device. `None` accepts results of any calibration.
        jobs: Tokens of jobs whose results are accepted under any calibration. A run accepts the jobs it waited for.
    """

    device: str
    shots: int
    calibration: str | None
    jobs: frozenset[str] = frozenset()

    def accepts(self, calibration: str, fetched_under: str, token: str | None) -> bool:
        """Whether these conditions accept a result."""
        return self.calibration is None or self.calibration in (calibration, fetched_under) or token in self.jobs


@dataclass(frozen=True)
class Loss:
    """A circuit without a result from a job that has ended.

    Args:
        number: Increases with every loss.
        key: Key of the circuit.
        token: Token of the job.
    """

    number: int
    key: str
    token: str


def pack_counts(counts: Counts) -> bytes:
    """Serialize counts: pairs (outcome, count), 32 bits each, compressed. Supports up to 32 qubits."""
    pairs = sorted((int(bits, 2), count) for bits, count in counts.items() if count)
    return zlib.compress(np.array(pairs, "<u4").tobytes())


def unpack_counts(packed: bytes, qubits: int) -> Counts:
    """Deserialize counts. Outcomes that did not occur are absent."""
    pairs = np.frombuffer(zlib.decompress(packed), "<u4").reshape(-1, 2)
    return {f"{outcome:0{qubits}b}": int(count) for outcome, count in pairs.tolist()}


def fault_of(answer: dict[int, Counts], circuits: int, qubits: int, shots: int) -> tuple[dict[int, Counts], str]:
    """Split a provider's answer into valid counts and a description of the rest."""
    if strangers := set(answer) - set(range(circuits)):
        return {}, f"the answer has a circuit {shown(min(strangers, key=str))}, and the job has {circuits}"
    good, fault = {}, ""
    for place, counts in sorted(answer.items()):
        try:
            if any(not 0 <= count < 2**32 or count != int(count) for count in counts.values()):
                raise ValueError("a count is no whole number from 0 to 2^32")
            from_counts(counts, qubits, shots)
        except ValueError as error:
            fault = fault or f"circuit {place}: {error}"
        except (AttributeError, TypeError):
            fault = fault or f"circuit {place}: it has no counts of outcomes"
        else:
            good[place] = counts
    return good, fault
