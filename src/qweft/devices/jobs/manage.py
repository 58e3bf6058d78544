"""User commands for jobs of the ledger: fetch, adopt, forget, cancel."""

from dataclasses import replace

from qweft.devices.device import DeviceError, JobState, RemoteDevice
from qweft.devices.jobs.collecting import EndedError, collect, fetch_twice, settle
from qweft.devices.jobs.record import CANCELLED, FORGOTTEN, OPEN, SENDING, SENT, Job
from qweft.devices.jobs.retry import Retry
from qweft.devices.jobs.store import Store
from qweft.devices.registry import make_device


def fetch(store: Store, token: str | None = None) -> list[tuple[Job, str]]:
    """Query open jobs, or one job, once, and store available results."""
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
    """Record the provider's id of a job in state `SENDING`."""
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
    """Check as far as possible that the provider's job is ours, and return what could not be verified."""
    state = device.state(number)
    if device.can_find:
        found = device.find(job.token)
        if found != number:
            other = f"job {found} has it: adopt that" if found else f"no job has it: qweft jobs forget {job.token}"
            raise DeviceError(f"the provider's job {number} does not have the tag {job.token}, and {other}")
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
    """Give up a job. Its circuits are sent again when they are next requested.

    If the provider accepted the job, they are paid for again.
    """
    job = store.job(token)
    with store.sole(token) as alone:
        if not alone:
            raise DeviceError(f"job {token} is being sent by another process; wait for it")
        if not store.close(token, FORGOTTEN, job.reason or "given up by the user"):
            raise DeviceError(f"job {token} is {job.state} and over; there is nothing to forget")
    return store.job(token)


def cancel(store: Store, token: str) -> Job:
    """Ask the provider to stop a job. The results of a finished job are fetched instead."""
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
    """Settle and collect a job. Return a message that may be empty."""
    device = _same_device(job) if job.state in OPEN else None
    with store.sole(job.token) as alone:
        if not alone:
            return "another process is sending it"
        job = store.job(job.token)  # another process may have ended it since it was listed
        if job.state not in OPEN or device is None:
            return f"job {job.token} is {job.state} and over"
        if settle(device, store, job) is False:
            return "the provider lists no such job; run the command that sent it again"
    job = store.job(job.token)
    if job.state == SENT:
        collect(device, store, job, Retry())
    return ""


def _same_device(job: Job) -> RemoteDevice:
    """Return the device, with the settings under which the job was sent.

    Counts from another seed or noise model must not be stored as the device's own.
    """
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
