"""A job as the ledger holds it, and circuits and counts as bytes."""

import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from qweft.devices.outcomes import from_counts
from qweft.text import many

SENDING = "sending"
"""Recorded, and nobody knows yet whether the provider took it."""
SENT = "sent"
"""Taken by the provider, whose id for it is known."""
DONE = "done"
"""Its results are stored; the reason names those that did not come."""
UNSENT = "unsent"
"""Certainly not taken by the provider."""
REFUSED = "refused"
"""The provider would not take it."""
FAILED = "failed"
"""The provider took it and gave no usable results for it."""
CANCELLED = "cancelled"
"""Stopped at the provider."""
FORGOTTEN = "forgotten"
"""Given up by the user."""

OPEN = (SENDING, SENT)
"""States of a job whose circuits must not be sent again."""
PAID = (DONE, FAILED, CANCELLED, FORGOTTEN)
"""Last states of a job that was, or may have been, paid for."""

Counts = dict[str, int]
"""How often each outcome came, by bit string, qubit 0 first."""


@dataclass(frozen=True)
class Job:
    """One line of the ledger.

    Args:
        token: Ours, unique.
        name: Name of the device, as the user gave it.
        device: `identity()` of the device.
        calibration: Of the device when the job was written down; empty for a simulator.
        shots: Measurements of each circuit.
        circuits: Number of circuits.
        state: One of the states above.
        job: The provider's id; none until it is known.
        reason: Why it ended as it did, in the provider's words where it has some.
        cost: Estimated money; none where no price is known.
        currency: Of the cost.
        created: When it was written down, seconds since 1970.
        changed: When its state changed last.
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
        """How many circuits it has, in words."""
        return many(self.circuits, "circuit")

    def to_json(self) -> dict[str, Any]:
        """All of it, as JSON holds it."""
        return dict(vars(self))


@dataclass(frozen=True)
class Where:
    """What a circuit is measured on: with the circuit's key, the key of a result.

    Args:
        device: `identity()` of the device.
        shots: Measurements of each circuit.
        calibration: Of the device; none where results of any calibration will do.
        jobs: Tokens of jobs whose results will do whatever their calibration: a run takes what it waited for.
    """

    device: str
    shots: int
    calibration: str | None
    jobs: frozenset[str] = frozenset()

    def accepts(self, calibration: str, fetched_under: str, token: str | None) -> bool:
        """Whether a result will do: of which job it is, and what the calibration was before and after."""
        return self.calibration is None or self.calibration in (calibration, fetched_under) or token in self.jobs


@dataclass(frozen=True)
class Loss:
    """A circuit for which a job that is over has no result.

    Args:
        number: Later losses have higher ones.
        key: Of the circuit.
        token: Of the job.
    """

    number: int
    key: str
    token: str


def pack_counts(counts: Counts) -> bytes:
    """Counts as bytes: (outcome, count) of the outcomes that came, 32 bits each, compressed; n may be 32."""
    pairs = sorted((int(bits, 2), count) for bits, count in counts.items() if count)
    return zlib.compress(np.array(pairs, "<u4").tobytes())


def unpack_counts(packed: bytes, qubits: int) -> Counts:
    """The same counts, without the outcomes that did not come."""
    pairs = np.frombuffer(zlib.decompress(packed), "<u4").reshape(-1, 2)
    return {f"{outcome:0{qubits}b}": int(count) for outcome, count in pairs.tolist()}


def fault_of(answer: dict[int, Counts], circuits: int, qubits: int, shots: int) -> tuple[dict[int, Counts], str]:
    """What of a provider's answer can be believed, and what is wrong with the rest.

    Args:
        answer: Counts by place in the job.
        circuits: How many the job has.
        qubits: Of a circuit.
        shots: Of each circuit.

    Returns:
        The counts that fit by place, and a sentence without full stop, empty where all fit. Where the answer has
        places that the job has not, nobody knows what belongs where, and nothing is believed.
    """
    strangers = sorted(set(answer) - set(range(circuits)))
    if strangers:
        return {}, f"the answer has a circuit {strangers[0]}, and the job has {circuits}"
    good, fault = {}, ""
    for place, counts in sorted(answer.items()):
        try:
            if any(count < 0 or count != int(count) for count in counts.values()):
                raise ValueError("a count is no whole number of at least 0")
            from_counts(counts, qubits, shots)
        except ValueError as error:
            fault = fault or f"circuit {place}: {error}"
        else:
            good[place] = counts
    return good, fault
