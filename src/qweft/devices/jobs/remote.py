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
        self.circuits, self.keys, self.where = circuits, circuits.keys(), where
        self.results: dict[str, Counts] = {}
        self.seen = self.store.last_loss()
        waits, since = 0, self.retry.clock()
        while missing := self._missing():
            self.silence = ""
            tokens = set(self.store.claimed([self.keys[row] for row in missing], self.where).values())
            self.where.jobs |= tokens
            news = [self._look(job) for job in self.store.jobs() if job.token in tokens and job.state in ledger.OPEN]
            self._check_losses()
            while self._send(missing):
                news.append(True)
            if any(news):
                waits, since = 0, self.retry.clock()
                continue
            if self.retry.clock() - since >= self.retry.timeout:
                words = f", and it does not answer ({self.silence})" if self.silence else ""
                raise UnavailableError(
                    f"device {self.device.name}: nothing came for {self.retry.timeout:,.6g} s{words}; open jobs live "
                    f"on, {many(len(missing), 'circuit')} missing: run the same command again, tomorrow too, or qweft "
                    "jobs fetch"
                )
            self.retry.wait(waits)
            waits += 1
        return [self.results[key] for key in self.keys]

    def _missing(self) -> list[int]:
        """Return the indices of circuits without a result."""
        self.results |= self.store.results([key for key in self.keys if key not in self.results], self.where)
        return [row for row, key in enumerate(self.keys) if key not in self.results]

    def _look(self, job: Job) -> bool:
        """Ask for an open job; return whether there is news of it."""
        try:
            is_sending = job.state == ledger.SENDING
            has_news = self._settle(job) if is_sending else collect(self.device, self.store, job, self.retry)
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
            is_found, now = settle(self.device, self.store, job), self.retry.clock()
            if not is_found and now - self.not_listed.setdefault(job.token, now) >= self.retry.settle:
                self._give_back(job, ledger.UNSENT, job.reason or "the provider has no such job")
            return is_found

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
        if len(claimed) == len(missing) or len(set(claimed.values())) >= self.jobs_at_once:
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
        token, shots = f"qweft-{secrets.token_hex(8)}", self.where.shots
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
        circuits = self.store.circuits_of(job.token)
        assert circuits is not None
        try:
            number = self.retry.ask(lambda: self.device.submit(circuits, job.shots, job.token), NotTakenError)
        except (RefusedError, NotTakenError) as error:
            self._give_back(job, ledger.REFUSED if isinstance(error, RefusedError) else ledger.UNSENT, str(error))
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
        if self.store.close(job.token, state, reason) and job.token in self.spent:
            self.budget.refund(job.circuits)


def settle(device: RemoteDevice, store: Store, job: Job) -> bool:
    """Ask the provider whether it accepted a job in state `SENDING`. The caller must hold `store.sole(job.token)`."""
    if not device.can_find:
        words = f" ({job.reason})" if job.reason else ""
        raise DeviceError(
            f"device {job.name}: nobody knows whether job {job.token} of {job.size} was taken{words}; look it up "
            f"at the provider, then: qweft jobs adopt {job.token} ID if it is there, or qweft jobs forget {job.token}"
        )
    number = device.find(job.token)
    if number is not None:
        store.sent(job.token, number)
    return number is not None


def collect(device: RemoteDevice, store: Store, job: Job, retry: Retry) -> bool:
    """Query a job that was sent; store its results if it has ended, well or badly. Return whether it has ended."""
    assert job.job is not None
    good: dict[int, Counts] = {}
    state, end, reason = JobState.QUEUED, ledger.CANCELLED, "stopped at the provider"
    try:
        state = device.state(job.job)
        if state in (JobState.QUEUED, JobState.RUNNING):
            return False
        circuits = store.circuits_of(job.token)
        if circuits is None:
            return True
        if state is not JobState.CANCELLED:
            end, reason = ledger.FAILED, "the provider gives no reason"
            good, fault = fetched(device, job.job, job, circuits)
            if state is JobState.DONE:
                end, reason = (ledger.FAILED, fault) if fault else (ledger.DONE, "")
    except RefusedError as error:
        if state is not JobState.FAILED:
            raise RefusedError(
                f"device {job.name} does not give job {job.job} ({job.token}): {error}; run the same command later, "
                f"or, if it is gone for good, qweft jobs forget {job.token}: its {job.size} would then be paid again"
            ) from error
        reason = str(error)
    try:
        now = retry.ask(device.calibration)
    except DeviceError:
        now = job.calibration  # a retired chip reports none
    store.close(job.token, end, reason, good, now)
    return True


def fetched(device: RemoteDevice, number: str, job: Job, circuits: BoundCircuits) -> tuple[dict[int, Counts], str]:
    """Return the valid counts of the provider's job with this number, and the first fault of the rest."""
    answer = device.fetch(number, circuits, job.shots)
    if strangers := set(answer) - set(range(job.circuits)):
        return {}, f"the answer has a circuit {min(strangers)}, and the job has {job.circuits}"
    good, fault = {}, ""
    for place, counts in sorted(answer.items()):
        try:
            from_counts(counts, circuits.qubits, job.shots)
        except ValueError as error:
            fault = fault or f"its results do not fit, circuit {place}: {error}"
        else:
            good[place] = counts
    if len(good) < job.circuits:
        fault = fault or f"{job.circuits - len(good):,} of {job.size} did not come"
    return good, fault
