"""What becomes of a job that was written down: whether the provider took it, and its results."""

from qweft.devices.bound import BoundCircuits
from qweft.devices.device import DeviceError, JobState, RefusedError, RemoteDevice
from qweft.devices.jobs.record import CANCELLED, DONE, FAILED, FORGOTTEN, SENDING, Counts, Job, fault_of
from qweft.devices.jobs.retry import Retry
from qweft.devices.jobs.store import Store


def settle(device: RemoteDevice, store: Store, job: Job) -> bool | None:
    """Ask the provider for a job of which nobody knows whether it was taken.

    The caller holds `store.sole(job.token)`.

    Returns:
        Whether it was taken; none where that was known already.

    Raises:
        DeviceError: If the provider cannot be asked; the sentence says what the user has to do.
        UnavailableError: If it does not answer.
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
    """The sentence for a job whose fate only the user can look up."""
    words = f" ({job.reason})" if job.reason else ""
    return DeviceError(
        f"device {job.name}: nobody knows whether job {job.token} of {job.size} was taken{words}; look it up "
        f"at the provider, then: qweft jobs adopt {job.token} ID if it is there, or qweft jobs forget {job.token}"
    )


def collect(device: RemoteDevice, store: Store, job: Job, patience: Retry) -> bool:
    """Ask for a job that was sent; store its results if it is over.

    Results that do not fit are asked for a second time, which costs nothing.

    Args:
        device: Where it was sent.
        store: The ledger.
        job: With its provider's id.
        patience: How often to ask for the device's calibration.

    Returns:
        Whether it is over.

    Raises:
        RefusedError: If it failed or was stopped; or if the provider does not give its results, and then it stays open:
            no job is given up, and paid again, because of an answer that may be a mistake.
        UnavailableError: If the provider does not answer.
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
            return _end(store, job, FAILED, reason, good, _calibration(device, job, patience))
        good, fault = fetch_twice(device, job, circuits)
    except EndedError:
        raise
    except RefusedError as error:
        raise RefusedError(
            f"device {job.name} does not give job {job.job} ({job.token}): {error}; run the same command later, or, if "
            f"it is gone for good, qweft jobs forget {job.token}: its {job.size} would then be paid again"
        ) from error
    now = _calibration(device, job, patience)
    if fault:
        return _end(store, job, FAILED, f"its results do not fit, {fault}", good, now)
    left = job.circuits - len(good)
    store.close(job.token, DONE, f"{left:,} of {job.size} did not come" if left else "", good, now)
    return True


class EndedError(RefusedError):
    """A job is over without all its results, and the ledger says so."""


def ended(job: Job) -> EndedError:
    """The sentence for a job that is over and did not bring what it should, whoever ended it."""
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
    """End a job in a bad way; true where another process has ended it meanwhile, perhaps in a better one."""
    if store.close(job.token, state, reason, found, now):
        raise ended(store.job(job.token))
    return True


def _calibration(device: RemoteDevice, job: Job, patience: Retry) -> str:
    """The device's at present; the job's own where the provider does not tell any more, as of a chip that is gone."""
    try:
        return patience.ask(device.calibration)
    except DeviceError:
        return job.calibration


def fetch_twice(device: RemoteDevice, job: Job, circuits: BoundCircuits) -> tuple[dict[int, Counts], str]:
    """The counts that fit, and what is wrong with the rest; asked for again where something is."""
    good, fault = _fetch(device, job, circuits)
    return _fetch(device, job, circuits) if fault else (good, fault)


def _fetch(device: RemoteDevice, job: Job, circuits: BoundCircuits) -> tuple[dict[int, Counts], str]:
    assert job.job is not None
    answer = device.fetch(job.job, circuits, job.shots)
    return fault_of(answer, job.circuits, circuits.qubits, job.shots)


def _remains(device: RemoteDevice, job: Job, circuits: BoundCircuits) -> tuple[dict[int, Counts], str]:
    """What a failed job has all the same, and why it failed."""
    try:
        return _fetch(device, job, circuits)[0], "the provider gives no reason"
    except RefusedError as error:
        return {}, str(error)
