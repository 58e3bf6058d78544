"""One run on a device that takes jobs: what is missing is sent, what is open is waited for."""

import secrets
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from qweft.devices.bound import BoundCircuits
from qweft.devices.device import RemoteDevice
from qweft.devices.errors import DeviceError, NotTakenError, RefusedError, UnavailableError
from qweft.devices.jobs.budget import Budget
from qweft.devices.jobs.collecting import collect, settle, undecided
from qweft.devices.jobs.patience import Patience
from qweft.devices.jobs.record import REFUSED, SENDING, SENT, UNSENT, Counts, Job
from qweft.devices.jobs.store import Store, Where
from qweft.plural import many

REPEATS = 2
"""How often a circuit is asked for again in one run that a finished job has no result for."""


@dataclass
class RemoteRun:
    """Brings results of some circuits into the store.

    Nothing that decides on what is sent lives in this object: every step reads the store. So a run that is killed at
    any moment goes on when the same is asked for again, and several processes may run the same.

    Args:
        device: Takes jobs.
        store: Results and ledger.
        budget: Counts what is sent.
        patience: How long to wait.
        jobs_at_once: Jobs of this device that may be open.
        circuits: Different ones.
        where: On what, and which results will do.
        now: The device's calibration.
        tell: Gets a line for each job that is sent or over.
    """

    device: RemoteDevice
    store: Store
    budget: Budget
    patience: Patience
    jobs_at_once: int
    circuits: BoundCircuits
    where: Where
    now: str
    tell: Callable[[str], None]
    found: dict[str, Counts] = field(default_factory=dict)
    _keys: list[str] = field(default_factory=list)
    _repeats: Counter[str] = field(default_factory=Counter)
    _spent: set[str] = field(default_factory=set)
    _not_listed: dict[str, float] = field(default_factory=dict)
    _unsent: int = 0
    _may_go_on: bool = True
    _silence: str = ""

    def finish(self) -> dict[str, Counts]:
        """The counts of all circuits by key, sent and waited for as needed.

        Raises:
            RefusedError: If the provider refuses a job, or one failed.
            UnavailableError: If nothing came for too long; the jobs live on.
            OutOfBudgetError: If going on would cost too much.
            DeviceError: If the user has to look a job up, or the store cannot be used.
        """
        self._keys = self.circuits.keys()
        waits, since = 0, self.patience.clock()
        while missing := self._missing():
            if self._advance(missing):
                waits, since = 0, self.patience.clock()
                continue
            if self.patience.clock() - since >= self.patience.timeout:
                raise self._timed_out(missing)
            self.patience.wait(waits)
            waits += 1
        return self.found

    def _missing(self) -> list[int]:
        """Places of circuits without a result."""
        self.found |= self.store.results([key for key in self._keys if key not in self.found], self.where)
        return [row for row, key in enumerate(self._keys) if key not in self.found]

    def _ours(self, missing: list[int]) -> set[str]:
        """Tokens of open jobs with some of these circuits."""
        keys = [self._keys[row] for row in missing]
        return {job.token for job in self.store.open_jobs(self.where.device, keys, self.where.shots)}

    def _advance(self, missing: list[int]) -> bool:
        """Send what may be sent and look after what is open; whether anything happened."""
        news, self._may_go_on = False, True
        while self._may_send() and self._send(missing):
            news = True
        self._silence = ""
        ours = self._ours(missing)
        for job in self.store.open_jobs(self.where.device):
            try:
                if job.token in ours:
                    news |= self._settle(job) if job.state == SENDING else self._collect(job)
                elif job.state == SENT:  # it takes a place that we may be waiting for
                    collect(self.device, self.store, job, self.now)
            except UnavailableError as error:
                self._silence = str(error)
            except DeviceError:
                if job.token in ours:
                    raise  # the faults of other runs' jobs are for them, and stand in the ledger
        return news

    def _may_send(self) -> bool:
        taken = [job for job in self.store.open_jobs(self.where.device) if job.state == SENT]
        return self._may_go_on and len(taken) < self.jobs_at_once

    def _send(self, missing: list[int]) -> bool:
        """Write a job down, then send it; whether there was one."""
        token = f"qweft-{secrets.token_hex(8)}"
        with self.store.sole(token):
            job = self.store.claim(
                token,
                self.device.name,
                self.circuits.pick(missing),
                [self._keys[row] for row in missing],
                self.where,
                self.now,
                self.device.limits.circuits_at(self.where.shots),
                lambda circuits: self.budget.spend(circuits, self.where.shots),
            )
            if job is None:
                return False
            self._spent.add(token)
            self._submit(job)
        return True

    def _submit(self, job: Job) -> None:
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
            return
        except UnavailableError as error:
            self.store.note(job.token, str(error))
            if not self.device.can_find:
                raise undecided(replace(job, reason=str(error))) from error
            return
        try:
            self.store.sent(job.token, number)
        except DeviceError as error:
            raise DeviceError(
                f"device {job.name} took job {number}, which could not be written down: {error}; then: qweft jobs "
                f"adopt {job.token} {number}"
            ) from error
        self._unsent = 0
        self.tell(f"sent job {number} ({job.token}) of {job.size} to {job.name}")

    def _settle(self, job: Job) -> bool:
        """Find out whether a job was taken that nobody is sending any more; whether that is known now."""
        with self.store.sole(job.token) as alone:
            taken = settle(self.device, self.store, job) if alone else None
            if taken is not False:
                return bool(taken)
            since = self._not_listed.setdefault(job.token, self.patience.clock())
            if self.patience.clock() - since < self.patience.settle:
                return False
            self._not_taken(job, job.reason or "the provider has no such job")
        return False

    def _not_taken(self, job: Job, reason: str) -> None:
        self._give_back(job, UNSENT, reason)
        self._unsent += 1
        self._may_go_on = False  # before the next look
        if self._unsent >= self.patience.attempts:
            raise NotTakenError(
                f"device {job.name} did not take a job in {self._unsent} attempts ({reason}); results so far are kept: "
                "run the same command later"
            )

    def _give_back(self, job: Job, state: str, reason: str) -> None:
        if self.store.close(job.token, state, reason) and job.token in self._spent:
            self.budget.refund(job.circuits, job.shots)

    def _collect(self, job: Job) -> bool:
        circuits = self.store.circuits_of(job.token)
        if not collect(self.device, self.store, job, self.now):
            return False
        self.tell(f"job {job.job} ({job.token}) is over")
        keys = circuits.keys() if circuits else []
        came = self.store.results(keys, replace(self.where, calibration=job.calibration))
        self._repeats.update(key for key in keys if key not in came)
        often = [key for key, times in self._repeats.items() if times > REPEATS]
        if often:
            raise RefusedError(
                f"device {job.name}: no result for {many(len(often), 'circuit')} after {REPEATS + 1} jobs, the last "
                f"{job.job} ({job.token}); results so far are kept, and the same command asks again, which costs again"
            )
        return True

    def _timed_out(self, missing: list[int]) -> UnavailableError:
        words = f", and it does not answer ({self._silence})" if self._silence else ""
        lacking = f"{many(len(missing), 'circuit')} {'is' if len(missing) == 1 else 'are'} missing"
        return UnavailableError(
            f"device {self.device.name}: nothing came for {self.patience.timeout:,.6g} s{words}; open jobs live on "
            f"({len(self._ours(missing))}, {lacking}): run the same command again, tomorrow too, or qweft jobs fetch"
        )
