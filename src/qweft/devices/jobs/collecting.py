"""Settle whether the provider accepted a recorded job, and collect its results."""

from qweft.devices.bound import BoundCircuits
from qweft.devices.device import DeviceError, JobState, RefusedError, RemoteDevice
from qweft.devices.jobs.record import CANCELLED, DONE, FAILED, FORGOTTEN, SENDING, Counts, Job, fault_of
from qweft.devices.jobs.retry import Retry
from qweft.devices.jobs.store import Store


def settle(device: RemoteDevice, store: Store, job: Job) -> bool | None:
    """Ask the provider whether it accepted a job in state `SENDING`.

    The caller must hold `store.sole(job.token)`.
    """
    if store.job(job.token).state != SENDING:
        return None
    if not device.can_find:
        raise undecided(job)
    found = device.find(job.token)
    if found is None:
        return False
    store.sent(job.token, found)
    return True


def undecided(job: Job) -> DeviceError:
    """Return the error for a job whose outcome only the user can look up."""
    words = f" ({job.reason})" if job.reason else ""
    return DeviceError(
        f"device {job.name}: nobody knows whether job {job.token} of {job.size} was taken{words}; look it up "
        f"at the provider, then: qweft jobs adopt {job.token} ID if it is there, or qweft jobs forget {job.token}"
    )


def collect(device: RemoteDevice, store: Store, job: Job, retry: Retry) -> bool:
    """Query a job that was sent, and store its results if it has ended.

    Invalid results are fetched a second time, which costs nothing.
    """
    assert job.job is not None
    try:
        state = device.state(job.job)
        if state in (JobState.QUEUED, JobState.RUNNING):
            return False
        circuits = store.circuits_of(job.token)
        if circuits is None:
            return True
        if state is JobState.CANCELLED:
            return _end(store, job, CANCELLED, "stopped at the provider")
        if state is JobState.FAILED:
            good, reason = _remains(device, job, circuits)
            return _end(store, job, FAILED, reason, good, _calibration(device, job, retry))
        good, fault = fetch_twice(device, job, circuits)
    except EndedError:
        raise
    except RefusedError as error:
        raise RefusedError(
            f"device {job.name} does not give job {job.job} ({job.token}): {error}; run the same command later, or, if "
            f"it is gone for good, qweft jobs forget {job.token}: its {job.size} would then be paid again"
        ) from error
    now = _calibration(device, job, retry)
    if fault:
        return _end(store, job, FAILED, f"its results do not fit, {fault}", good, now)
    left = job.circuits - len(good)
    store.close(job.token, DONE, f"{left:,} of {job.size} did not come" if left else "", good, now)
    return True


class EndedError(RefusedError):
    """A job ended without all its results, and the ledger records it."""


def ended(job: Job) -> EndedError:
    """Return the error for a job that ended badly, whichever process ended it."""
    number = f"job {job.job} ({job.token})" if job.job else f"job {job.token}"
    what = {
        FAILED: f"failed: {job.reason}",
        CANCELLED: f"was {job.reason}",
        FORGOTTEN: f"was given up ({job.reason})",
    }.get(job.state, f"is {job.state}")
    return EndedError(
        f"device {job.name}: {number} of {job.size} {what}; results so far are kept, and the same command "
        "sends again what is missing, which costs again"
    )


def _end(
    store: Store, job: Job, state: str, reason: str, found: dict[int, Counts] | None = None, now: str = ""
) -> bool:
    """End a job with an error. Return `True` if another process has ended it already, perhaps successfully."""
    if store.close(job.token, state, reason, found, now):
        raise ended(store.job(job.token))
    return True


def _calibration(device: RemoteDevice, job: Job, retry: Retry) -> str:
    """Return the device's current calibration, or the job's if the provider no longer reports one (retired chip)."""
    try:
        return retry.ask(device.calibration)
    except DeviceError:
        return job.calibration


def fetch_twice(device: RemoteDevice, job: Job, circuits: BoundCircuits) -> tuple[dict[int, Counts], str]:
    """Return the valid counts and what is wrong with the rest. Fetch again if something is wrong."""
    good, fault = _fetch(device, job, circuits)
    return _fetch(device, job, circuits) if fault else (good, fault)


def _fetch(device: RemoteDevice, job: Job, circuits: BoundCircuits) -> tuple[dict[int, Counts], str]:
    assert job.job is not None
    answer = device.fetch(job.job, circuits, job.shots)
    return fault_of(answer, job.circuits, circuits.qubits, job.shots)


def _remains(device: RemoteDevice, job: Job, circuits: BoundCircuits) -> tuple[dict[int, Counts], str]:
    """Return the counts that a failed job has, and why it failed."""
    try:
        return _fetch(device, job, circuits)[0], "the provider gives no reason"
    except RefusedError as error:
        return {}, str(error)
