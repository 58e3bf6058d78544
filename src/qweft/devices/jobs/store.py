"""Stored results by circuit, and the ledger of all jobs."""

import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from qweft.devices.bound import BoundCircuits, pack_circuits
from qweft.devices.device import DeviceError
from qweft.devices.jobs import queries
from qweft.devices.jobs.database import Database
from qweft.devices.jobs.prices import Charge
from qweft.devices.jobs.record import DONE, OPEN, PAID, SENDING, SENT, Counts, Job, Loss, Where, unpack_counts
from qweft.files import cache_folder, locked
from qweft.redaction import without_secrets


class Store:
    """Results and ledger in one file, `devices/jobs.sqlite` of the cache. It contains no credentials.

    Args:
        folder: Folder of the file. `None` means `devices` of the cache.
    """

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

        Raises:
            DeviceError: The file cannot be used, or a result is damaged.
        """
        found: dict[str, Counts] = {}
        with self._database.transaction() as db:
            for key, qubits, packed in queries.select(db, keys, where):
                try:
                    counts = unpack_counts(packed, qubits)
                except (zlib.error, TypeError, ValueError):
                    counts = {}
                if sum(counts.values()) != where.shots:
                    raise DeviceError(f"{self.path}: the result of circuit {key} is damaged; it was left as it is")
                found[key] = counts
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

        Args:
            token: Token of the new job.
            name: Name of the device.
            circuits: Distinct circuits.
            keys: Their keys.
            where: Conditions of the measurement, which decide what results are accepted.
            now: The device's current calibration.
            most: Maximum circuits of one job. `None` means no limit.
            approve: Returns the cost of this many circuits, or raises; then nothing is recorded.
            seen: Number of the last loss that the caller knows of. `None` ignores losses.

        Returns:
            The job. `None` if no circuit is left to send, or the caller has to look at a loss first.
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
        """Return losses of these circuits, oldest first.

        Args:
            keys: Keys of the circuits.
            where: Conditions of the measurement.
            seen: Number of the last known loss. Only later ones are returned.
        """
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
        """Store an open job's results and end it, in one transaction. Its other circuits may then be sent again.

        Args:
            token: Token of the job.
            state: Final state.
            reason: Why it ended.
            found: Counts by index in the job.
            now: The device's current calibration. Empty means the job's.

        Returns:
            Whether the job was open.
        """
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
            return [queries.checked_job(row) for row in rows]

    def job(self, token: str) -> Job:
        """Return one row of the ledger.

        Raises:
            DeviceError: There is no such job.
        """
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
            jobs = [queries.checked_job(row) for row in rows]
            if keys is not None:
                tokens = set(queries.claims_of(db, keys, Where(device, shots, None)).values())
                jobs = [job for job in jobs if job.token in tokens]
        return jobs

    @contextmanager
    def sole(self, token: str) -> Iterator[bool]:
        """Whether this process alone decides about a job that is being sent, until the block ends.

        A process holds this lock from before the job is recorded until its outcome is known. So a job in state
        `SENDING` whose lock is free was left behind by a process that has ended.

        Raises:
            DeviceError: The file system has no locks or cannot be written.
        """
        folder = self.folder / "sending"
        with ExitStack() as stack:
            try:
                folder.mkdir(parents=True, exist_ok=True)
                held = stack.enter_context(locked(folder / token))
            except OSError as error:
                raise DeviceError(
                    f"{folder} cannot be written ({error.strerror}); nothing can be sent without it: choose another "
                    "cache (QWEFT_CACHE)"
                ) from error
            if held is None:
                raise DeviceError(
                    f"{folder} is on a file system without locks, where two processes could send the same circuit; "
                    "choose another cache (QWEFT_CACHE)"
                )
            yield held
            if held:
                (folder / token).unlink(missing_ok=True)
