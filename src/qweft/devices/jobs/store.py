"""Stored results by circuit, and the ledger of all jobs."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from qweft.devices.bound import BoundCircuits, pack_circuits
from qweft.devices.device import DeviceError
from qweft.devices.jobs import queries
from qweft.devices.jobs.database import Database
from qweft.devices.jobs.prices import Charge
from qweft.devices.jobs.record import DONE, OPEN, PAID, SENDING, SENT, Counts, Job, Loss, Where, unpack_counts
from qweft.errors import QweftError
from qweft.files import cache_folder, locked
from qweft.redaction import without_secrets


class Store:
    """Results and ledger in one file, `devices/jobs.sqlite` of the cache. It contains no credentials."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or cache_folder() / "devices"
        self._database = Database(self.folder / "jobs.sqlite")

    @property
    def path(self) -> Path:
        """The database file."""
        return self._database.path

    # Results

    def results(self, keys: Sequence[str], where: Where) -> dict[str, Counts]:
        """Return the counts of circuits that have a result, by key.

        If the device was calibrated between sending and fetching, the result counts for both calibrations, because it
        is not known under which of them it was measured.
        """
        found: dict[str, Counts] = {}
        with self._database.transaction() as db:
            for key, qubits, packed in queries.select(db, keys, where):
                found[key] = unpack_counts(packed, qubits)
                if sum(found[key].values()) != where.shots:
                    raise DeviceError(f"{self.path}: the result of circuit {key} is damaged; it was left as it is")
        return found

    def other_calibrations(self, keys: Sequence[str], where: Where) -> int:
        """Return how many circuits have results from other calibrations only."""
        with self._database.transaction() as db:
            anywhere = {key for key, _, _ in queries.select(db, keys, replace(where, calibration=None))}
            here = {key for key, _, _ in queries.select(db, keys, where)}
        return len(anywhere - here)

    def keep(self, found: dict[str, Counts], where: Where, qubits: int) -> None:
        """Store results of a device that answers directly."""
        with self._database.transaction() as db:
            queries.insert(
                db, found, where.device, where.shots, where.calibration or "", where.calibration or "", qubits, None
            )

    # The ledger

    def claim(
        self,
        token: str,
        name: str,
        circuits: BoundCircuits,
        keys: Sequence[str],
        where: Where,
        now: str,
        most: int | None,
        approve: Callable[[int], Charge],
        seen: int | None = None,
    ) -> Job | None:
        """Record a job that is about to be sent. It is on the disk when this returns.

        The job takes circuits that have no result and are in no open job, checked in the same transaction. It takes
        none if the caller has not seen all losses of these circuits, because lost circuits are paid for again.
        """
        with self._database.transaction() as db:
            free = queries.unclaimed(db, keys, where)[:most]
            if not free or (seen is not None and queries.losses(db, keys, where, seen)):
                return None
            cost, taken = approve(len(free)), circuits.pick(free)
            job = Job(
                token, name, where.device, now, where.shots, len(free), SENDING, None, "", cost.money, cost.currency,
                time.time(), time.time(),
            )  # fmt: skip
            db.execute(
                f"INSERT INTO jobs ({queries.COLUMNS}, content) VALUES ({queries.marks(14)})",
                (*vars(job).values(), pack_circuits(taken)),
            )
            db.executemany(
                "INSERT INTO claims VALUES (?, ?, ?, ?)",
                [(keys[row], where.device, where.shots, token) for row in free],
            )
        return job

    def unclaimed(self, keys: Sequence[str], where: Where) -> int:
        """Return how many circuits have no result and are in no open job."""
        with self._database.transaction() as db:
            return len(queries.unclaimed(db, keys, where))

    def losses(self, keys: Sequence[str], where: Where, seen: int) -> list[Loss]:
        """Return losses of these circuits, oldest first."""
        with self._database.transaction() as db:
            return queries.losses(db, keys, where, seen)

    def last_loss(self) -> int:
        """Return the number of the latest loss, or 0."""
        with self._database.transaction() as db:
            return int(db.execute("SELECT coalesce(max(number), 0) FROM losses").fetchone()[0])

    def note(self, token: str, reason: str) -> None:
        """Record the provider's message as a job's reason."""
        with self._database.transaction() as db:
            db.execute(
                "UPDATE jobs SET reason = ?, changed = ? WHERE token = ?",
                (without_secrets(reason), time.time(), token),
            )

    def sent(self, token: str, job: str) -> bool:
        """Record the provider's id of a job. Return whether the job was still in state `SENDING`."""
        with self._database.transaction() as db:
            changed = db.execute(
                "UPDATE jobs SET state = ?, job = ?, reason = '', changed = ? WHERE token = ? AND state = ?",
                (SENT, job, time.time(), token, SENDING),
            )
            return bool(changed.rowcount == 1)

    def close(
        self, token: str, state: str, reason: str = "", found: dict[int, Counts] | None = None, now: str = ""
    ) -> bool:
        """Store an open job's results and end it, in one transaction. Its other circuits may then be sent again."""
        with self._database.transaction() as db:
            job = queries.job_of(db, token)
            if job is None or job.state not in OPEN:
                return False
            came: set[str] = set()
            if found:  # otherwise not read: a job with damaged circuits can still be ended
                circuits = queries.circuits_in(db, token)
                keys = circuits.keys()
                results = {keys[place]: counts for place, counts in found.items()}
                under = (job.calibration, now or job.calibration)
                queries.insert(db, results, job.device, job.shots, *under, circuits.qubits, token)
                came = set(results)
            if state in PAID:
                claimed = db.execute("SELECT key FROM claims WHERE token = ?", (token,)).fetchall()
                db.executemany(
                    "INSERT INTO losses (key, device, shots, token) VALUES (?, ?, ?, ?)",
                    [(key, job.device, job.shots, token) for (key,) in claimed if key not in came],
                )
            db.execute("DELETE FROM claims WHERE token = ?", (token,))
            db.execute(
                "UPDATE jobs SET state = ?, reason = ?, changed = ? WHERE token = ?",
                (state, without_secrets(reason), time.time(), token),
            )
            if state == DONE:  # its circuits are no longer needed
                db.execute("UPDATE jobs SET content = x'' WHERE token = ?", (token,))
        return True

    def jobs(self) -> list[Job]:
        """Return the whole ledger, oldest first."""
        with self._database.transaction() as db:
            rows = db.execute(f"SELECT {queries.COLUMNS} FROM jobs ORDER BY created, token")
            return [Job(*row) for row in rows]

    def job(self, token: str) -> Job:
        """Return one row of the ledger."""
        with self._database.transaction() as db:
            job = queries.job_of(db, token)
        if job is None:
            raise DeviceError(f"there is no job {token} in {self.path}; qweft jobs list shows all")
        return job

    def circuits_of(self, token: str) -> BoundCircuits | None:
        """Return an open job's circuits, or `None` if another process has ended it meanwhile."""
        with self._database.transaction() as db:
            job = queries.job_of(db, token)
            return queries.circuits_in(db, token) if job and job.state in OPEN else None

    def open_jobs(self, device: str, keys: Sequence[str] | None = None, shots: int = 0) -> list[Job]:
        """Return a device's open jobs, oldest first: all, or those that contain some of these circuits."""
        with self._database.transaction() as db:
            rows = db.execute(
                f"SELECT {queries.COLUMNS} FROM jobs WHERE device = ? AND state IN (?, ?) ORDER BY created, token",
                (device, *OPEN),
            )
            jobs = [Job(*row) for row in rows]
            if keys is not None:
                tokens = set(queries.claims_of(db, keys, Where(device, shots, None)).values())
                jobs = [job for job in jobs if job.token in tokens]
        return jobs

    @contextmanager
    def sole(self, token: str) -> Iterator[bool]:
        """Whether this process alone decides about a job that is being sent, until the block ends.

        A process holds this lock from before the job is recorded until its outcome is known. So a job in state
        `SENDING` whose lock is free was left behind by a process that has ended.
        """
        folder = self.folder / "sending"
        with ExitStack() as stack:
            held = None  # on a file system without locks two processes could send the same circuit
            with suppress(OSError, QweftError):
                folder.mkdir(parents=True, exist_ok=True)
                held = stack.enter_context(locked(folder / token))
            if held is None:
                raise DeviceError(f"{folder} cannot be locked; choose another cache (QWEFT_CACHE)")
            yield held
            if held:
                (folder / token).unlink(missing_ok=True)
