"""One run on a device that takes jobs: send missing circuits, wait for open jobs."""

import secrets
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from qweft.devices.bound import BoundCircuits
from qweft.devices.device import DeviceError, NotTakenError, RefusedError, RemoteDevice, UnavailableError
from qweft.devices.jobs.budget import Budget
from qweft.devices.jobs.collecting import collect, ended, settle, undecided
from qweft.devices.jobs.record import DONE, REFUSED, SENDING, UNSENT, Counts, Job, Where
from qweft.devices.jobs.retry import Retry
from qweft.devices.jobs.store import Store
from qweft.text import many

REPEATS = 2
"""How often one run sends a circuit again after a finished job returned no result for it."""


@dataclass
class RemoteRun:
    """Obtains results of circuits and stores them.

    This object holds no state that decides what is paid for: every step reads the store. So a killed run continues when
    the same circuits are requested again, and several processes can run the same circuits.
    """

    device: RemoteDevice
    store: Store
    budget: Budget
    retry: Retry
    jobs_at_once: int
    circuits: BoundCircuits
    where: Where
    tell: Callable[[str], None]
    found: dict[str, Counts] = field(default_factory=dict)
    _keys: list[str] = field(default_factory=list)
    _losses: int = 0
    _repeats: Counter[str] = field(default_factory=Counter)
    _spent: set[str] = field(default_factory=set)
    _not_listed: dict[str, float] = field(default_factory=dict)
    _without_place: set[str] = field(default_factory=set)
    _checked: bool = False
    _unsent: int = 0
    _may_go_on: bool = True
    _silence: str = ""

    def finish(self) -> dict[str, Counts]:
        """Send and wait as needed, and return the counts of all circuits by key."""
        self._keys = self.circuits.keys()
        self._losses = self.store.last_loss()
        waits, since = 0, self.retry.clock()
        while missing := self._missing():
            if self._advance(missing):
                waits, since = 0, self.retry.clock()
                continue
            if self.retry.clock() - since >= self.retry.timeout and not self._is_settling():
                raise self._timed_out(missing)
            self.retry.wait(waits)
            waits += 1
        return self.found

    def _missing(self) -> list[int]:
        """Return the indices of circuits without a result."""
        self.found |= self.store.results([key for key in self._keys if key not in self.found], self.where)
        return [row for row, key in enumerate(self._keys) if key not in self.found]

    def _keys_of(self, missing: list[int]) -> list[str]:
        return [self._keys[row] for row in missing]

    def _ours(self, missing: list[int]) -> set[str]:
        """Return the tokens of open jobs that contain some of these circuits."""
        return {job.token for job in self.store.open_jobs(self.where.device, self._keys_of(missing), self.where.shots)}

    def _advance(self, missing: list[int]) -> bool:
        """Check open jobs, then send new ones. Return whether anything changed."""
        self._may_go_on, self._silence = True, ""
        news = self._look(missing)
        self._count_losses()
        while self._may_send() and self._send(missing):
            news = True
        return news

    # Open jobs

    def _look(self, missing: list[int]) -> bool:
        """Ask for every open job of the device and return whether one of ours changed.

        Jobs of other runs are queried too, because this run may wait for the places they take.
        """
        news, ours = False, self._ours(missing)
        self.where = replace(self.where, jobs=self.where.jobs | ours)
        self._without_place = set()
        for job in self.store.open_jobs(self.where.device):
            try:
                over = self._settle(job) if job.state == SENDING else self._collect(job)
            except UnavailableError as error:
                self._silence = str(error)
            except DeviceError:
                if job.token in ours:
                    raise
                self._without_place.add(job.token)  # its own run reports the error; the job stays in the ledger
            else:
                news |= over and job.token in ours
        return news

    def _settle(self, job: Job) -> bool:
        """Find out whether the provider accepted a job that no process is still sending."""
        with self.store.sole(job.token) as alone:
            taken = settle(self.device, self.store, job) if alone else None
            if taken is None:
                return False
            if not taken:
                since = self._not_listed.setdefault(job.token, self.retry.clock())
                if self.retry.clock() - since < self.retry.settle:
                    return False
                self._not_taken(job, job.reason or "the provider has no such job")
            self._not_listed.pop(job.token, None)
        return True

    def _is_settling(self) -> bool:
        """Whether an unlisted job is still within the time that the provider may take to list it."""
        now = self.retry.clock()
        return any(now - since < self.retry.settle for since in self._not_listed.values())

    def _collect(self, job: Job) -> bool:
        if not collect(self.device, self.store, job, self.retry):
            return False
        if job.token in self.where.jobs:
            self.tell(f"job {job.job} ({job.token}) is over")
        return True

    def _count_losses(self) -> None:
        """Count circuits that ended jobs have no result for, whichever process ended the job.

        They will be paid for again.
        """
        missing = set(self._keys_of(self._missing()))
        for loss in self.store.losses(self._keys, self.where, self._losses):
            self._losses = loss.number
            if loss.key not in missing:
                continue
            job = self.store.job(loss.token)
            if job.state != DONE:
                raise ended(job)
            self._repeats[loss.key] += 1
        often = [key for key in missing if self._repeats[key] > REPEATS]
        if often:
            raise RefusedError(
                f"device {self.device.name}: no result for {many(len(often), 'circuit')} after {REPEATS + 1} jobs, the "
                f"last {job.job} ({job.token}); results so far are kept, and the same command asks again, which costs "
                "again"
            )

    # New jobs

    def _may_send(self) -> bool:
        """Whether a place is free and none of our jobs has an unknown outcome, since it may take one."""
        taken = [job for job in self.store.open_jobs(self.where.device) if job.token not in self._without_place]
        unanswered = any(job.state == SENDING and job.token in self._spent for job in taken)
        return self._may_go_on and not unanswered and len(taken) < self.jobs_at_once

    def _send(self, missing: list[int]) -> bool:
        """Record a job, then send it. Return whether the provider accepted it."""
        keys = self._keys_of(missing)
        if not self.store.unclaimed(keys, self.where):
            return False
        try:
            now = self._prepare()
        except UnavailableError as error:
            if not self._ours(missing):
                raise
            self._silence = str(error)  # open jobs may still finish
            return False
        token = f"qweft-{secrets.token_hex(8)}"
        with self.store.sole(token):
            job = self.store.claim(
                token,
                self.device.name,
                self.circuits.pick(missing),
                keys,
                self.where,
                now,
                self.device.limits.circuits_at(self.where.shots),
                lambda circuits: self.budget.spend(circuits, self.where.shots),
                self._losses,
            )
            if job is None:
                return False
            self._spent.add(token)
            self.where = replace(self.where, jobs=self.where.jobs | {token})
            return self._submit(job)

    def _prepare(self) -> str:
        """Check the device once, and return its calibration, which may have changed since the last job."""
        if not self._checked:
            self.retry.ask(lambda: self.device.check(self.where.shots))
            self._checked = True
        now = self.retry.ask(self.device.calibration)
        if self.where.calibration is not None:
            self.where = replace(self.where, calibration=now)
        return now

    def _submit(self, job: Job) -> bool:
        circuits = self.store.circuits_of(job.token)
        assert circuits is not None
        try:
            number = self.device.submit(circuits, job.shots, job.token)
        except RefusedError as error:
            self._give_back(job, REFUSED, str(error))
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
        self._unsent = 0
        self.tell(f"sent job {number} ({job.token}) of {job.size} to {job.name}")
        return True

    def _not_taken(self, job: Job, reason: str) -> None:
        self._give_back(job, UNSENT, reason)
        self._may_go_on = False  # until open jobs have been checked again
        if job.token not in self.where.jobs:
            return
        self._unsent += 1
        if self._unsent >= self.retry.attempts:
            raise NotTakenError(
                f"device {job.name} did not take a job in {self._unsent} attempts ({reason}); results so far are kept: "
                "run the same command later"
            )

    def _give_back(self, job: Job, state: str, reason: str) -> None:
        if self.store.close(job.token, state, reason) and job.token in self._spent:
            self.budget.refund(job.circuits, job.shots)

    def _timed_out(self, missing: list[int]) -> UnavailableError:
        words = f", and it does not answer ({self._silence})" if self._silence else ""
        lacking = f"{many(len(missing), 'circuit')} {'is' if len(missing) == 1 else 'are'} missing"
        if waiting := self.store.unclaimed(self._keys_of(missing), self.where):
            open_jobs = self.store.open_jobs(self.where.device)
            taken = ", ".join(job.token for job in open_jobs if job.token not in self._without_place)
            words += (
                f", and {many(waiting, 'circuit')} could not be sent, as all places are taken by {taken}"
                if taken
                else ""
            )
        return UnavailableError(
            f"device {self.device.name}: nothing came for {self.retry.timeout:,.6g} s{words}; open jobs live on "
            f"({len(self._ours(missing))}, {lacking}): run the same command again, tomorrow too, or qweft jobs fetch"
        )
