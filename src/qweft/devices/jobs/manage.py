"""What a user does with single jobs of the ledger."""

from qweft.devices.device import RemoteDevice
from qweft.devices.errors import DeviceError
from qweft.devices.jobs.collecting import collect, settle
from qweft.devices.jobs.record import CANCELLED, FORGOTTEN, OPEN, SENDING, SENT, Job
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


def adopt(store: Store, token: str, number: str) -> Job:
    """Tell the ledger the provider's id of a job that was being sent.

    Raises:
        DeviceError: If the job's fate is known, another process is sending it, or the provider has no such job.
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
        _device(job).state(number)
        store.sent(token, number)
    return store.job(token)


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
        DeviceError: If it is over, not known to the provider, or cannot be stopped.
    """
    job = store.job(token)
    if job.state != SENT or job.job is None:
        raise DeviceError(f"job {token} is {job.state}, and only one that is {SENT} can be cancelled")
    device = _device(job)
    device.cancel(job.job)
    try:
        collect(device, store, job)
    except DeviceError:
        if store.job(token).state != CANCELLED:
            raise
    return store.job(token)


def _ask(store: Store, job: Job) -> str:
    """Settle and collect; what there is to say."""
    if job.state not in OPEN:
        return f"job {job.token} is {job.state} and over"
    device = _device(job)
    if device.identity() != job.device:
        return f"it was sent with other settings of the device ({job.device}); run the command that sent it again"
    with store.sole(job.token) as alone:
        if not alone:
            return "another process is sending it"
        if settle(device, store, job) is False:
            return "the provider lists no such job; run the command that sent it again"
    collect(device, store, store.job(job.token), device.calibration())
    return ""


def _device(job: Job) -> RemoteDevice:
    device = make_device(job.name)
    if not isinstance(device, RemoteDevice):
        raise DeviceError(f"job {job.token}: device {job.name} takes no jobs")
    return device
