"""One run on a device that takes jobs: send missing circuits, wait for open jobs, collect results."""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from qweft.core.text import many
from qweft.devices.bound import BoundCircuits
from qweft.devices.device import DeviceError, JobState, NotTakenError, RefusedError, RemoteDevice, UnavailableError
from qweft.devices.jobs import store as ledger
from qweft.devices.jobs.budget import CircuitBudget
from qweft.devices.jobs.store import Counts, Job, Store, Where
from qweft.devices.outcomes import from_counts

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Retry:
    """Waiting times in seconds, each wait 1.5 times the one before.

    Args:
        first: The first wait.
        longest: Maximum wait.
        timeout: A run ends after this long without progress: no job was sent, settled or finished. Its jobs continue.
        attempts: Consecutive attempts to send a job that was not accepted, or to ask a question.
        settle: How long a provider may take to list an accepted job. Until then, a missing entry proves nothing.
        sleep: Function that waits.
        clock: Monotonic clock in seconds. The time of day can jump.
    """

    first: float = 2.0
    longest: float = 60.0
    timeout: float = 3600.0
    attempts: int = 5
    settle: float = 60.0
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic

    def wait(self, number: int) -> None:
        """Wait for the number-th time in a row, counted from 0."""
        self.sleep(min(self.longest, self.first * 1.5 ** min(number, 50)))

    def ask(self, question: Callable[[], Answer], again: type[DeviceError] = UnavailableError) -> Answer:
        """Ask a question that costs nothing and return the answer. Retry after increasing waits."""
        for number in range(self.attempts - 1):
            try:
                return question()
            except again:
                self.wait(number)
        return question()


@dataclass
class RemoteRun:
    """Obtains results of circuits, each once; the store alone decides what is paid for, so killed runs go on."""

    device: RemoteDevice
    store: Store
    budget: CircuitBudget
    retry: Retry
    jobs_at_once: int
    tell: Callable[[str], None]
    spent: set[str] = field(default_factory=set)  # tokens of jobs that this run has counted in the budget
    not_listed: dict[str, float] = field(default_factory=dict)  # since when the provider does not list a job
    silence = ""  # the latest message of a provider that does not answer

    def finish(self, circuits: BoundCircuits, where: Where) -> list[Counts]:
        """Send and wait as needed, and return the counts of all circuits."""
        self.circuits = circuits
        self.keys = circuits.keys()
        self.where = where
        self.results: dict[str, Counts] = {}
        self.seen = self.store.last_loss()
        waits = 0
        since = self.retry.clock()  # when there was progress last
        while missing := self._missing():
            self.silence = ""
            has_progress = self._look_at_jobs(missing)
            self._check_losses()
            while self._send(missing):
                has_progress = True
            if has_progress:
                waits = 0
                since = self.retry.clock()
                continue
            if self.retry.clock() - since >= self.retry.timeout:
                raise self._timeout_error(len(missing))
            self.retry.wait(waits)
            waits += 1
        return [self.results[key] for key in self.keys]

    def _timeout_error(self, missing: int) -> UnavailableError:
        """Return the error for a run that made no progress for too long."""
        reason = f", and it does not answer ({self.silence})" if self.silence else ""
        size = many(missing, "circuit")
        return UnavailableError(
            f"device {self.device.name}: nothing came for {self.retry.timeout:,.6g} s{reason}; {size} missing, and "
            "open jobs go on; run the same command again, tomorrow too, or qweft jobs fetch"
        )

    def _missing(self) -> list[int]:
        """Return the indices of circuits without a result."""
        self.results |= self.store.results([key for key in self.keys if key not in self.results], self.where)
        return [row for row, key in enumerate(self.keys) if key not in self.results]

    def _look_at_jobs(self, missing: list[int]) -> bool:
        """Ask for every open job that has a missing circuit; return whether there is news of any."""
        tokens = set(self.store.claimed([self.keys[row] for row in missing], self.where).values())
        self.where.jobs |= tokens
        has_news = False
        for job in self.store.jobs():
            if job.token in tokens and job.state in ledger.OPEN:
                has_news |= self._look(job)
        return has_news

    def _look(self, job: Job) -> bool:
        """Ask for an open job; return whether there is news of it."""
        try:
            if job.state == ledger.SENDING:
                has_news = self._settle(job)
            else:
                has_news = collect(self.device, self.store, job, self.retry)
        except UnavailableError as error:
            self.silence = str(error)
            return False
        if has_news and job.job:
            self.tell(f"job {job.job} ({job.token}) is over")
        return has_news

    def _settle(self, job: Job) -> bool:
        """Find out whether the provider accepted a job that no process is still sending."""
        with self.store.sole(job.token) as alone:
            if not alone or self.store.job(job.token).state != ledger.SENDING:
                return False
            is_listed = settle(self.device, self.store, job)
            if not is_listed:
                now = self.retry.clock()
                first_look = self.not_listed.setdefault(job.token, now)
                if now - first_look >= self.retry.settle:
                    self._give_back(job, ledger.UNSENT, job.reason or "the provider has no such job")
            return is_listed

    def _check_losses(self) -> None:
        """Raise if a job has ended without the result of a circuit, which is only paid again when asked for again."""
        missing = {self.keys[row] for row in self._missing()}
        for key, token in self.store.losses(self.keys, self.where, self.seen).items():
            if key in missing:
                job = self.store.job(token)
                raise RefusedError(
                    f"device {job.name}: job {job.job or ''} ({job.token}) of {job.size} is {job.state}: {job.reason}; "
                    "results so far are kept, and the same command sends again what is missing, which costs again"
                )

    def _send(self, missing: list[int]) -> bool:
        """Record a job, then send it, if there is a place for it. Return whether the provider accepted it."""
        circuits = self.circuits.pick(missing)
        claimed = self.store.claimed(circuits.keys(), self.where)
        open_jobs = set(claimed.values())
        if len(claimed) == len(missing) or len(open_jobs) >= self.jobs_at_once:
            return False
        try:
            self.retry.ask(lambda: self.device.check(self.where.shots))
            calibration = self.retry.ask(self.device.calibration)  # may have changed since the last job
        except UnavailableError as error:
            if not claimed:
                raise
            self.silence = str(error)  # open jobs may still finish
            return False
        if self.where.calibration is not None:
            self.where.calibration = calibration
        token = f"qweft-{secrets.token_hex(8)}"
        shots = self.where.shots
        with self.store.sole(token):
            job = self.store.claim(
                Job(token, self.device.name, self.where.device, calibration, shots),
                circuits,
                self.where,
                self.device.limits.circuits_at(shots),
                self.budget.spend,
                self.seen,
            )
            if job is None:
                return False
            self.spent.add(token)
            self.where.jobs.add(token)
            return self._submit(job)

    def _submit(self, job: Job) -> bool:
        """Send a job that the ledger has; return whether the provider accepted it."""
        circuits = self.store.circuits_of(job.token)
        assert circuits is not None
        try:
            number = self.retry.ask(lambda: self.device.submit(circuits, job.shots, job.token), NotTakenError)
        except (RefusedError, NotTakenError) as error:
            state = ledger.REFUSED if isinstance(error, RefusedError) else ledger.UNSENT
            self._give_back(job, state, str(error))
            raise type(error)(
                f"device {job.name} did not take a job of {job.size}: {error}; results so far are kept"
            ) from error
        except UnavailableError as error:
            self.store.note(job.token, str(error))
            return False
        self.store.sent(job.token, number)
        self.tell(f"sent job {number} ({job.token}) of {job.size} to {job.name}")
        return True

    def _give_back(self, job: Job, state: str, reason: str) -> None:
        """Close a job that was not accepted, and uncount it if this run counted it."""
        if self.store.close(job.token, state, reason) and job.token in self.spent:
            self.budget.refund(job.circuits)


def settle(device: RemoteDevice, store: Store, job: Job) -> bool:
    """Ask the provider whether it accepted a job in state `SENDING`. The caller must hold `store.sole(job.token)`."""
    if not device.can_find:
        reason = f" ({job.reason})" if job.reason else ""
        raise DeviceError(
            f"device {job.name}: it is unknown whether job {job.token} of {job.size} was accepted{reason}; look it up "
            f"at the provider, then: qweft jobs adopt {job.token} ID if it is there, or qweft jobs forget {job.token}"
        )
    number = device.find(job.token)
    if number is not None:
        store.sent(job.token, number)
    return number is not None


def collect(device: RemoteDevice, store: Store, job: Job, retry: Retry) -> bool:
    """Query a job that was sent; store its results if it has ended, well or badly. Return whether it has ended."""
    assert job.job is not None
    try:
        state = device.state(job.job)
        if state in (JobState.QUEUED, JobState.RUNNING):
            return False
        circuits = store.circuits_of(job.token)
        if circuits is None:  # another process has ended it meanwhile
            return True
        ending = _ending(device, job, state, circuits)
    except RefusedError as error:
        raise RefusedError(
            f"device {job.name} does not give job {job.job} ({job.token}): {error}; run the same command later, "
            f"or, if it is gone for good, qweft jobs forget {job.token}: its {job.size} would then be paid again"
        ) from error
    try:
        calibration = retry.ask(device.calibration)
    except DeviceError:
        calibration = job.calibration  # a retired chip reports none
    store.close(job.token, ending.state, ending.reason, ending.results, calibration)
    return True


@dataclass(frozen=True)
class Ending:
    """How a job ended: its state in the ledger, the reason, and the valid counts by circuit."""

    state: str
    reason: str = ""
    results: dict[int, Counts] = field(default_factory=dict)


def _ending(device: RemoteDevice, job: Job, state: JobState, circuits: BoundCircuits) -> Ending:
    """Return how a job ended, with its results if it has any; `RefusedError` if those of a finished job do not come."""
    if state is JobState.CANCELLED:
        return Ending(ledger.CANCELLED, "stopped at the provider")
    assert job.job is not None
    try:
        results, fault = fetch_counts(device, job.job, job, circuits)
    except RefusedError as error:
        if state is not JobState.FAILED:
            raise
        return Ending(ledger.FAILED, str(error))
    if state is JobState.FAILED:
        return Ending(ledger.FAILED, "the provider gives no reason", results)
    if fault:
        return Ending(ledger.FAILED, fault, results)
    return Ending(ledger.DONE, "", results)


def fetch_counts(device: RemoteDevice, number: str, job: Job, circuits: BoundCircuits) -> tuple[dict[int, Counts], str]:
    """Return the valid counts of the provider's job with this number, and the first fault of the rest."""
    answer = device.fetch(number, circuits, job.shots)
    unknown = set(answer) - set(range(job.circuits))
    if unknown:
        return {}, f"the answer has a circuit {min(unknown)}, and the job has {job.circuits}"
    valid: dict[int, Counts] = {}
    fault = ""
    for index, counts in sorted(answer.items()):
        try:
            from_counts(counts, circuits.qubits, job.shots)
        except ValueError as error:
            fault = fault or f"the counts of circuit {index} do not fit: {error}"
        else:
            valid[index] = counts
    missing = job.circuits - len(valid)
    if missing:
        fault = fault or f"{missing:,} of {job.size} did not come"
    return valid, fault
