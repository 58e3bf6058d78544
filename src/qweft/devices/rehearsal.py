"""A device of this machine that behaves like a provider: it takes jobs, lets them wait, and outlives the process.

The way of a hardware experiment (estimate, consent, jobs, waiting, fetching the next day) can be gone through with it
at no cost: `rehearsal:noisy`, `rehearsal:shots`. The queue is pretended; what is measured is what the inner device
measures.
"""

import time
from pathlib import Path

from qweft.devices.bound import BoundCircuits, pack_circuits
from qweft.devices.device import Device, DeviceError, JobState, Limits, RefusedError, RemoteDevice
from qweft.devices.provider import Entry
from qweft.files import cache_folder, write_bytes

SECONDS_IN_QUEUE = 5.0


class RehearsalDevice(RemoteDevice):
    """Keeps a file for each job in `devices/rehearsal` of the cache; a job is done when the file is some seconds old.

    Args:
        name: As the user gave it.
        inner: What measures; the same circuit gives the same counts whenever it is asked.
    """

    can_find = True
    limits = Limits(circuits=200)  # what the record says of a batch on Wukong

    def __init__(self, name: str, inner: Device) -> None:
        super().__init__(name)
        self._inner = inner

    def identity(self) -> str:
        """That of the inner device."""
        return f"rehearsal:{self._inner.identity()}"

    def check(self, shots: int | None) -> None:
        """What the inner device says, and that there are shots.

        Raises:
            DeviceError: If there are none, or too many.
        """
        if shots is None:
            raise DeviceError(f"device {self.name} needs a number of shots, got none")
        self._inner.check(shots)

    def submit(self, circuits: BoundCircuits, shots: int, token: str) -> str:
        """Write the job's file."""
        write_bytes(_file(_number(token)), pack_circuits(circuits))
        return _number(token)

    def state(self, job: str) -> JobState:
        """Queued while the file is young, then done.

        Raises:
            RefusedError: If there is no such file.
        """
        if _file(f"{job}.cancelled").exists():
            return JobState.CANCELLED
        try:
            age = time.time() - _file(job).stat().st_mtime
        except FileNotFoundError:
            raise RefusedError(f"there is no job {job} in {_file(job).parent}") from None
        return JobState.DONE if age >= SECONDS_IN_QUEUE else JobState.QUEUED

    def fetch(self, job: str, circuits: BoundCircuits, shots: int) -> dict[int, dict[str, int]]:
        """Measure now."""
        values = self._inner.run(circuits, shots).values
        outcomes = [f"{outcome:0{circuits.qubits}b}" for outcome in range(2**circuits.qubits)]
        return {
            place: {bits: round(value * shots) for bits, value in zip(outcomes, row, strict=True) if value > 0}
            for place, row in enumerate(values)
        }

    def find(self, token: str) -> str | None:
        """The job's number, if there is a file."""
        return _number(token) if _file(_number(token)).exists() else None

    def cancel(self, job: str) -> None:
        """Mark a job that is still queued."""
        if self.state(job) is JobState.QUEUED:
            write_bytes(_file(f"{job}.cancelled"), b"")


def _number(token: str) -> str:
    return f"R-{token.removeprefix('qweft-')}"


def _file(name: str) -> Path:
    return cache_folder() / "devices" / "rehearsal" / name


ENTRIES = (Entry("rehearsal:DEVICE", "a device of this machine as if it were a provider's: jobs, a queue, ids"),)
"""Its line of `qweft devices`."""
