"""`qweft jobs`: fetch, adopt, forget and cancel jobs of the ledger, and show them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from qweft.devices.device import DeviceError, JobState, RefusedError, RemoteDevice
from qweft.devices.jobs.budget import labelled_table
from qweft.devices.jobs.remote import Retry, collect, fetch_counts, settle
from qweft.devices.jobs.store import FORGOTTEN, OPEN, SENDING, SENT, Job, Store
from qweft.devices.registry import make_device


def fetch(store: Store, token: str | None = None) -> list[tuple[Job, str]]:
    """Query open jobs, or one job, once, and store available results. Return each with a message, or ""."""
    if token is None:
        jobs = [job for job in store.jobs() if job.state in OPEN]
    else:
        jobs = [store.job(token)]
    answers = []
    for job in jobs:
        try:
            message = _ask(store, job)
        except DeviceError as error:
            message = str(error)
        answers.append((store.job(job.token), message))
    return answers


def _ask(store: Store, job: Job) -> str:
    """Settle and collect a job. Return a message that may be empty."""
    if job.state not in OPEN:
        return f"job {job.token} is {job.state} and over"
    device = _device(job)
    if job.state == SENDING:
        with _alone(store, job.token) as current:  # another process may have settled it since it was listed
            if current.state == SENDING and not settle(device, store, current):
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
        for known in store.jobs():
            if (known.device, known.job) == (job.device, number):
                raise DeviceError(f"the provider's job {number} is that of job {known.token} already")
        device = _device(job)
        circuits = store.circuits_of(token)
        if device.state(number) is JobState.DONE and circuits is not None:
            counts, fault = fetch_counts(device, number, job, circuits)
            if not counts:
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


def job_table(jobs: Sequence[Job]) -> Table | str:
    """Return a table with one row per job. Tokens are never cut, because commands take them."""
    if not jobs:
        return "no job was sent"
    table = Table("token", "device", "circuits", "state", "provider's id", box=SIMPLE_HEAD, show_edge=False)
    for column in table.columns:
        column.overflow = "fold"
    table.columns[0].no_wrap = True
    for job in jobs:
        cells = [job.token, job.name, str(job.circuits), job.state, job.job or ""]
        table.add_row(*(Text(cell) for cell in cells))  # in a str, a provider's brackets would be markup
    return table


def table_of_one(job: Job) -> Table:
    """Return a table of everything that the ledger holds about a job."""
    times = {"created": _format_time(job.created), "changed": _format_time(job.changed)}
    return labelled_table({**vars(job), **times})


def _format_time(seconds: float) -> str:
    """Return a time in seconds since 1970 as local date and time."""
    return f"{datetime.fromtimestamp(seconds):%Y-%m-%d %H:%M}"
