"""`rehearsal:DEVICE`: a local device that behaves like a provider, with jobs, a queue and files that outlive it."""

import time
from pathlib import Path

from qweft.core.files import cache_folder, write_bytes
from qweft.devices.bound import BoundCircuits, pack_circuits
from qweft.devices.device import (
    Device,
    DeviceError,
    DeviceSettings,
    Entry,
    JobState,
    Limits,
    Provider,
    RefusedError,
    RemoteDevice,
)
from qweft.devices.outcomes import to_counts
from qweft.devices.registry import make_device

SECONDS_IN_QUEUE = 5.0


class RehearsalDevice(RemoteDevice):
    """Stores one file per job in `devices/rehearsal` of the cache. A job is done after `SECONDS_IN_QUEUE`."""

    can_find = True

    def __init__(self, name: str, inner: Device) -> None:
        super().__init__(name)
        self._inner = inner
        self.limits = Limits(qubits=inner.limits.qubits, circuits=200)  # on record for Origin's Wukong
        self.check = inner.check  # type: ignore[method-assign]

    def identity(self) -> str:
        """Return the inner device's identity, prefixed with `rehearsal:`."""
        return f"rehearsal:{self._inner.identity()}"

    def submit(self, circuits: BoundCircuits, shots: int, token: str) -> str:
        write_bytes(_file(token), pack_circuits(circuits))
        return token

    def state(self, job: str) -> JobState:
        """Return `QUEUED` while the file is recent, then `DONE`; `CANCELLED` after `cancel`."""
        if _file(f"{job}.cancelled").exists():
            return JobState.CANCELLED
        try:
            age = time.time() - _file(job).stat().st_mtime
        except FileNotFoundError:
            raise RefusedError(f"there is no job {job} in {_file(job).parent}") from None
        return JobState.QUEUED if 0 <= age < SECONDS_IN_QUEUE else JobState.DONE

    def fetch(self, job: str, circuits: BoundCircuits, shots: int) -> dict[int, dict[str, int]]:
        return dict(enumerate(to_counts(self._inner.run(circuits, shots).values, shots)))

    def find(self, token: str) -> str | None:
        return token if _file(token).exists() else None

    def cancel(self, job: str) -> None:
        if self.state(job) is JobState.QUEUED:
            write_bytes(_file(f"{job}.cancelled"), b"")


def _file(name: str) -> Path:
    return cache_folder() / "devices" / "rehearsal" / name


def make(name: str, target: str, settings: DeviceSettings) -> RehearsalDevice:
    """Create a rehearsal of the device `target`."""
    inner = make_device(target, settings)
    if not isinstance(inner, Device):
        raise DeviceError(f"device {name} rehearses devices that answer at once, and {target} takes jobs itself")
    return RehearsalDevice(name, inner)


PROVIDER = Provider(
    make,
    (Entry("rehearsal:DEVICE", "a device of this machine as if it were a provider's: jobs, a queue, ids"),),
)
