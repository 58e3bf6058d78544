"""One run on a device that takes jobs: send missing circuits, wait for open jobs, collect results."""

import secrets
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeVar

from qweft.devices.bound import BoundCircuits
from qweft.devices.device import DeviceError, JobState, NotTakenError, RefusedError, RemoteDevice, UnavailableError
from qweft.devices.jobs import store as ledger
from qweft.devices.jobs.budget import Budget
from qweft.devices.jobs.store import Counts, Job, Store, Where
from qweft.devices.outcomes import from_counts
from qweft.text import many

Answer = TypeVar("Answer")
REPEATS = 2
"""How often one run sends a circuit again after a finished job returned no result for it."""


@dataclass(frozen=True)
class Retry:
    """Waiting times in seconds, each wait 1.5 times the one before.

    Args:
        first: The first wait.
        longest: Maximum wait.
        timeout: A run ends after this long without progress: no job was sent, settled or finished. Its jobs continue.
        attempts: Consecutive attempts to send a job that was not accepted, or to ask a question.
        settle: How long a provider may take to list an accepted job. Until then, a missing entry proves nothing, and
            the run goes on beyond the timeout.
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

    def ask(self, question: Callable[[], Answer]) -> Answer:
        """Ask a question that costs nothing and return the answer. Retry after increasing waits."""
        for number in range(self.attempts - 1):
            try:
                return question()
            except UnavailableError:
                self.wait(number)
        return question()


@dataclass
class RemoteRun:
    """Obtains results of circuits, each once; the store alone decides what is paid for, so killed runs go on."""

    device: RemoteDevice
    store: Store
    budget: Budget
    retry: Retry
    jobs_at_once: int
    tell: Callable[[str], None]
    repeats: Counter[str] = field(default_factory=Counter)
    spent: set[str] = field(default_factory=set)  # tokens of jobs that this run has counted in the budget
    not_listed: dict[str, float] = field(default_factory=dict)  # since when the provider does not list a job
    broken: set[str] = field(default_factory=set)  # tokens of other runs' jobs of which the provider tells nothing
    checked = may_send = False
    attempts = 0  # in a row that the provider did not accept
    silence = ""  # the latest message of a provider that does not answer

    def finish(self, circuits: BoundCircuits, where: Where) -> list[Counts]:
        """Send and wait as needed, and return the counts of all circuits."""
        self.circuits, self.keys, self.where = circuits, circuits.keys(), where
        self.results: dict[str, Counts] = {}
        self.seen = self.store.last_loss()
        waits, since = 0, self.retry.clock()
        while missing := self._missing():
            self.may_send, self.silence = True, ""
            has_news = self._look([self.keys[row] for row in missing])
            self._count_losses()
            while self._has_place() and self._send(missing):
                has_news = True
            if has_news:
                waits, since = 0, self.retry.clock()
                continue
            waited = self.retry.clock() - since
            # an unlisted job is waited for as long as the provider may take to list it
            if waited >= self.retry.timeout and not any(map(self._is_settling, self.not_listed.values())):
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

    def _look(self, missing: list[str]) -> bool:
        """Ask for every open job of the device, since others take places too; return whether one of ours changed."""
        ours = set(self.store.claimed(missing, self.where).values())
        self.where = replace(self.where, jobs=self.where.jobs | ours)
        has_news, self.broken = False, set()
        for job in self.store.open_jobs(self.where.device):
            try:
                is_sending = job.state == ledger.SENDING
                is_over = self._settle(job) if is_sending else collect(self.device, self.store, job, self.retry)
            except UnavailableError as error:
                self.silence = str(error)
            except DeviceError:
                if job.token in ours:
                    raise
                self.broken.add(job.token)  # its own run reports the error; the job stays in the ledger
            else:
                has_news |= is_over and job.token in ours
                if is_over and job.job and job.token in self.where.jobs:
                    self.tell(f"job {job.job} ({job.token}) is over")
        return has_news

    def _settle(self, job: Job) -> bool:
        """Find out whether the provider accepted a job that no process is still sending."""
        with self.store.sole(job.token) as alone:
            if not alone or self.store.job(job.token).state != ledger.SENDING:
                return False
            if not settle(self.device, self.store, job):
                if self._is_settling(self.not_listed.setdefault(job.token, self.retry.clock())):
                    return False
                self._not_taken(job, job.reason or "the provider has no such job")
            self.not_listed.pop(job.token, None)
        return True

    def _is_settling(self, since: float) -> bool:
        return self.retry.clock() - since < self.retry.settle

    def _count_losses(self) -> None:
        """Count circuits without a result from ended jobs; after `DONE` they are paid again at once, else on demand."""
        missing = {self.keys[row] for row in self._missing()}
        for loss in self.store.losses(self.keys, self.where, self.seen):
            self.seen = loss.number
            if loss.key not in missing:
                continue
            job = self.store.job(loss.token)
            number = f"{job.job} ({job.token})" if job.job else job.token
            if job.state != ledger.DONE:
                raise RefusedError(
                    f"device {job.name}: job {number} of {job.size} is {job.state}: {job.reason}; "
                    "results so far are kept, and the same command sends again what is missing, which costs again"
                )
            self.repeats[loss.key] += 1
            if self.repeats[loss.key] > REPEATS:
                raise RefusedError(
                    f"device {job.name}: a circuit has no result after {REPEATS + 1} jobs, the last {number}; results "
                    "so far are kept, and the same command asks again, which costs again"
                )

    def _has_place(self) -> bool:
        """Whether a place is free and none of our jobs has an unknown outcome, since it may take one."""
        taken = [job for job in self.store.open_jobs(self.where.device) if job.token not in self.broken]
        unanswered = any(job.state == ledger.SENDING and job.token in self.spent for job in taken)
        return self.may_send and not unanswered and len(taken) < self.jobs_at_once

    def _send(self, missing: list[int]) -> bool:
        """Record a job, then send it. Return whether the provider accepted it."""
        circuits = self.circuits.pick(missing)
        claimed = self.store.claimed(circuits.keys(), self.where)
        if len(claimed) == len(missing):
            return False
        try:
            if not self.checked:
                self.retry.ask(lambda: self.device.check(self.where.shots))
                self.checked = True
            calibration = self.retry.ask(self.device.calibration)  # may have changed since the last job
        except UnavailableError as error:
            if not claimed:
                raise
            self.silence = str(error)  # open jobs may still finish
            return False
        if self.where.calibration is not None:
            self.where = replace(self.where, calibration=calibration)
        token, shots = f"qweft-{secrets.token_hex(8)}", self.where.shots
        with self.store.sole(token):
            job = self.store.claim(
                Job(token, self.device.name, self.where.device, calibration, shots),
                circuits,
                self.where,
                self.device.limits.circuits_at(shots),
                lambda count: self.budget.spend(count, shots),
                self.seen,
            )
            if job is None:
                return False
            self.spent.add(token)
            self.where = replace(self.where, jobs=self.where.jobs | {token})
            return self._submit(job)

    def _submit(self, job: Job) -> bool:
        circuits = self.store.circuits_of(job.token)
        assert circuits is not None
        try:
            number = self.device.submit(circuits, job.shots, job.token)
        except RefusedError as error:
            self._give_back(job, ledger.REFUSED, str(error))
            raise RefusedError(
                f"device {job.name} refused a job of {job.size}: {error}; results so far are kept"
            ) from error
        except NotTakenError as error:
            self._not_taken(job, str(error))
            return False
        except UnavailableError as error:
            self.store.note(job.token, str(error))
            if not self.device.can_find:
                raise undecided(replace(job, reason=str(error))) from error
            return False
        try:
            self.store.sent(job.token, number)
        except DeviceError as error:
            raise DeviceError(
                f"device {job.name} took job {number}, which could not be written down: {error}; then: qweft jobs "
                f"adopt {job.token} {number}"
            ) from error
        self.attempts = 0
        self.tell(f"sent job {number} ({job.token}) of {job.size} to {job.name}")
        return True

    def _not_taken(self, job: Job, reason: str) -> None:
        self._give_back(job, ledger.UNSENT, reason)
        self.may_send = False  # until open jobs have been checked again
        if job.token not in self.where.jobs:
            return
        self.attempts += 1
        if self.attempts >= self.retry.attempts:
            raise NotTakenError(
                f"device {job.name} did not take a job in {self.attempts} attempts ({reason}); results so far are "
                "kept: run the same command later"
            )

    def _give_back(self, job: Job, state: str, reason: str) -> None:
        if self.store.close(job.token, state, reason) and job.token in self.spent:
            self.budget.refund(job.circuits, job.shots)


def settle(device: RemoteDevice, store: Store, job: Job) -> bool:
    """Ask the provider whether it accepted a job in state `SENDING`. The caller must hold `store.sole(job.token)`."""
    if not device.can_find:
        raise undecided(job)
    number = device.find(job.token)
    if number is not None:
        store.sent(job.token, number)
    return number is not None


def undecided(job: Job) -> DeviceError:
    """Return the error for a job whose outcome only the user can look up."""
    words = f" ({job.reason})" if job.reason else ""
    return DeviceError(
        f"device {job.name}: nobody knows whether job {job.token} of {job.size} was taken{words}; look it up "
        f"at the provider, then: qweft jobs adopt {job.token} ID if it is there, or qweft jobs forget {job.token}"
    )


def collect(device: RemoteDevice, store: Store, job: Job, retry: Retry) -> bool:
    """Query a job that was sent; store its results if it has ended, well or badly. Return whether it has ended."""
    assert job.job is not None
    good: dict[int, Counts] = {}
    end, reason = ledger.FAILED, ""
    try:
        state = device.state(job.job)
        if state in (JobState.QUEUED, JobState.RUNNING):
            return False
        circuits = store.circuits_of(job.token)
        if circuits is None:
            return True
        if state is JobState.CANCELLED:
            end, reason = ledger.CANCELLED, "stopped at the provider"
        elif state is JobState.FAILED:
            try:  # what it has; the refusal says why it failed
                good, reason = fetched(device, job.job, job, circuits)[0], "the provider gives no reason"
            except RefusedError as error:
                reason = str(error)
        else:
            good, fault = fetched(device, job.job, job, circuits)
            end, reason = (ledger.FAILED, f"its results do not fit, {fault}") if fault else (ledger.DONE, "")
            if not fault and len(good) < job.circuits:
                reason = f"{job.circuits - len(good):,} of {job.size} did not come"
    except RefusedError as error:
        raise RefusedError(
            f"device {job.name} does not give job {job.job} ({job.token}): {error}; run the same command later, or, if "
            f"it is gone for good, qweft jobs forget {job.token}: its {job.size} would then be paid again"
        ) from error
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
            fault = fault or f"circuit {place}: {error}"
        else:
            good[place] = counts
    return good, fault
