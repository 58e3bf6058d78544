"""`qweft jobs`: fetch, adopt, forget and cancel jobs of the ledger, and show them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import TYPE_CHECKING

from qweft.devices.device import DeviceError, JobState, RefusedError, RemoteDevice
from qweft.devices.jobs.budget import labelled_table
from qweft.devices.jobs.remote import Retry, collect, fetched, settle
from qweft.devices.jobs.store import FORGOTTEN, OPEN, SENDING, SENT, Job, Store
from qweft.devices.registry import make_device

if TYPE_CHECKING:
    from rich.table import Table


def fetch(store: Store, token: str | None = None) -> list[tuple[Job, str]]:
    """Query open jobs, or one job, once, and store available results. Return each with a message, or ""."""
    jobs = []
    for job in [store.job(token)] if token else [job for job in store.jobs() if job.state in OPEN]:
        try:
            message = _ask(store, job)
        except DeviceError as error:
            message = str(error)
        jobs.append((store.job(job.token), message))
    return jobs


def _ask(store: Store, job: Job) -> str:
    """Settle and collect a job. Return a message that may be empty."""
    if job.state not in OPEN:
        return f"job {job.token} is {job.state} and over"
    device = _device(job)
    if job.state == SENDING:
        with _alone(store, job.token) as job:  # another process may have settled it since it was listed
            if job.state == SENDING and not settle(device, store, job):
                return "the provider lists no such job; run the command that sent it again"
    job = store.job(job.token)
    if job.state == SENT:
        collect(device, store, job, Retry())
    return ""


def adopt(store: Store, token: str, number: str) -> Job:
    """Record the provider's id of a job in state `SENDING`, whose counts must fit if they are there."""
    with _alone(store, token) as job:
        if job.state != SENDING:
            raise DeviceError(f"job {token} is {job.state}, and only one that is {SENDING} can be adopted")
        other = [known.token for known in store.jobs() if (known.device, known.job) == (job.device, number)]
        if other:
            raise DeviceError(f"the provider's job {number} is that of job {other[0]} already")
        device, circuits = _device(job), store.circuits_of(token)
        if device.state(number) is JobState.DONE and circuits is not None:
            good, fault = fetched(device, number, job, circuits)
            if not good:
                raise DeviceError(
                    f"the provider's job {number} is not job {token} of {job.size} with {job.shots} shots, or is of no "
                    f"use: {fault}; look the number up again, or qweft jobs forget {token}"
                )
        store.sent(token, number)
    return store.job(token)


def forget(store: Store, token: str) -> Job:
    """Give up a job. Its circuits are sent again when next requested, and paid again if the provider took the job."""
    with _alone(store, token) as job:
        if not store.close(token, FORGOTTEN, job.reason or "given up by the user"):
            raise DeviceError(f"job {token} is {job.state} and over; there is nothing to forget")
    return store.job(token)


def cancel(store: Store, token: str) -> Job:
    """Ask the provider to stop a job. The results of a finished job are fetched instead."""
    job = store.job(token)
    if job.state != SENT or job.job is None:
        raise DeviceError(f"job {token} is {job.state}, and only one that is {SENT} can be cancelled")
    device = _device(job)
    with suppress(RefusedError):  # it has ended meanwhile
        device.cancel(job.job)
    collect(device, store, job, Retry())
    return store.job(token)


@contextmanager
def _alone(store: Store, token: str) -> Iterator[Job]:
    """Decide alone about a job inside the block; raise if another process is sending it."""
    store.job(token)  # raises where there is none
    with store.sole(token) as alone:
        if not alone:
            raise DeviceError(f"job {token} is being sent by another process; wait for it")
        yield store.job(token)


def _device(job: Job) -> RemoteDevice:
    """Return the device; raise if the job was sent under other settings, such as another seed or noise model."""
    device = make_device(job.name)
    if not isinstance(device, RemoteDevice):
        raise DeviceError(f"job {job.token}: device {job.name} takes no jobs")
    if device.identity() != job.device:
        raise DeviceError(
            f"it was sent with other settings of the device ({job.device}); run the command that sent it again"
        )
    return device


def table(jobs: Sequence[Job]) -> "Table | str":
    """Return a table with one row per job. Tokens are never cut, because commands take them."""
    if not jobs:
        return "no job was sent"
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    made = Table("token", "device", "circuits", "state", "provider's id", box=SIMPLE_HEAD, show_edge=False)
    for column in made.columns:
        column.overflow = "fold"
    made.columns[0].no_wrap = True
    for job in jobs:
        cells = [job.token, job.name, str(job.circuits), job.state, job.job or ""]
        made.add_row(*(Text(cell) for cell in cells))  # in a str, a provider's brackets would be markup
    return made


def table_of_one(job: Job) -> "Table":
    """Return a table of everything that the ledger holds about a job."""
    times = {name: f"{datetime.fromtimestamp(getattr(job, name)):%Y-%m-%d %H:%M}" for name in ("created", "changed")}
    return labelled_table(vars(job) | times)
