"""What a user does with single jobs of the ledger."""

from dataclasses import replace

from qweft.devices.device import DeviceError, JobState, RemoteDevice
from qweft.devices.jobs.collecting import EndedError, collect, fetch_twice, settle
from qweft.devices.jobs.record import CANCELLED, FORGOTTEN, OPEN, SENDING, SENT, Job
from qweft.devices.jobs.retry import Retry
from qweft.devices.jobs.store import Store
from qweft.devices.registry import make_device


def fetch(store: Store, token: str | None = None) -> list[tuple[Job, str]]:
    """Ask once for every open job, or for one, and store what is there.

    Returns:
        Each job as the ledger has it now, with a sentence where there is something to say.
    """
    asked = [store.job(token)] if token else [job for job in store.jobs() if job.state in OPEN]
    told = []
    for job in asked:
        try:
            said = _ask(store, job)
        except DeviceError as error:
            said = str(error)
        told.append((store.job(job.token), said))
    return told


def adopt(store: Store, token: str, number: str) -> tuple[Job, str]:
    """Tell the ledger the provider's id of a job that was being sent.

    Returns:
        The job, with a sentence where nobody checked that the provider's job is this one.

    Raises:
        DeviceError: If the job's fate is known, another process is sending it, or the provider has no such job, or one
            that is another.
    """
    job = store.job(token)
    if job.state != SENDING:
        raise DeviceError(f"job {token} is {job.state}, and only one that is {SENDING} can be adopted")
    with store.sole(token) as alone:
        if not alone:
            raise DeviceError(f"job {token} is being sent by another process; wait for it")
        other = [known.token for known in store.jobs() if (known.device, known.job) == (job.device, number)]
        if other:
            raise DeviceError(f"the provider's job {number} is that of job {other[0]} already")
        said = _compare(_device(job), store, job, number)
        store.sent(token, number)
    return store.job(token), said


def _compare(device: RemoteDevice, store: Store, job: Job, number: str) -> str:
    """See whether the provider's job may be ours, as far as it tells; what could not be seen.

    Raises:
        DeviceError: If there is no such job, or it is another.
    """
    state = device.state(number)
    if device.can_find:
        found = device.find(job.token)
        if found != number:
            bears = f"its job {found} does: adopt that" if found else f"none does: qweft jobs forget {job.token}"
            raise DeviceError(f"the provider's job {number} does not bear the tag {job.token}, and {bears}")
        return ""
    circuits = store.circuits_of(job.token)
    if circuits is None or state is not JobState.DONE:
        return f"it was not checked that the provider's job {number} is job {job.token}: it does not tell"
    good, fault = fetch_twice(device, replace(job, job=number), circuits)
    if not good:
        raise DeviceError(
            f"the provider's job {number} is not job {job.token} of {job.circuits} circuits with {job.shots} shots, or "
            f"is of no use: {fault or 'it has no counts'}; look the number up again, or qweft jobs forget {job.token}"
        )
    return f"{len(good)} of {job.circuits} circuits of the provider's job {number} fit; more it does not tell"


def forget(store: Store, token: str) -> Job:
    """Give a job up: its circuits are sent again when they are asked for, and are paid again if it was taken.

    Raises:
        DeviceError: If it is over, or another process is sending it.
    """
    job = store.job(token)
    with store.sole(token) as alone:
        if not alone:
            raise DeviceError(f"job {token} is being sent by another process; wait for it")
        if not store.close(token, FORGOTTEN, job.reason or "given up by the user"):
            raise DeviceError(f"job {token} is {job.state} and over; there is nothing to forget")
    return store.job(token)


def cancel(store: Store, token: str) -> Job:
    """Ask the provider to stop a job; one that is done is fetched instead.

    Raises:
        DeviceError: If it is over, not known to the provider, cannot be stopped, or was sent with other settings of the
            device than its defaults.
    """
    job = store.job(token)
    if job.state != SENT or job.job is None:
        raise DeviceError(f"job {token} is {job.state}, and only one that is {SENT} can be cancelled")
    device = _same_device(job)
    device.cancel(job.job)
    try:
        collect(device, store, job, Retry())
    except EndedError:
        if store.job(token).state != CANCELLED:
            raise
    return store.job(token)


def _ask(store: Store, job: Job) -> str:
    """Settle and collect; what there is to say."""
    device = _same_device(job) if job.state in OPEN else None
    with store.sole(job.token) as alone:
        if not alone:
            return "another process is sending it"
        job = store.job(job.token)  # which another process may have ended since it was listed
        if job.state not in OPEN or device is None:
            return f"job {job.token} is {job.state} and over"
        if settle(device, store, job) is False:
            return "the provider lists no such job; run the command that sent it again"
    job = store.job(job.token)
    if job.state == SENT:
        collect(device, store, job, Retry())
    return ""


def _same_device(job: Job) -> RemoteDevice:
    """The device as it was when it measured: counts of another seed or noise model must not be stored for its own."""
    device = _device(job)
    if device.identity() != job.device:
        raise DeviceError(
            f"it was sent with other settings of the device ({job.device}); run the command that sent it again"
        )
    return device


def _device(job: Job) -> RemoteDevice:
    device = make_device(job.name)
    if not isinstance(device, RemoteDevice):
        raise DeviceError(f"job {job.token}: device {job.name} takes no jobs")
    return device
