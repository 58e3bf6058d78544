"""Results by circuit, and the ledger of all that was sent."""

import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from qweft.devices.bound import BoundCircuits, pack_circuits
from qweft.devices.device import DeviceError
from qweft.devices.error_policy import without_secrets
from qweft.devices.jobs import ledger
from qweft.devices.jobs.database import Database
from qweft.devices.jobs.prices import Charge
from qweft.devices.jobs.record import DONE, OPEN, PAID, SENDING, SENT, Counts, Job, Loss, Where, unpack_counts
from qweft.files import cache_folder, locked


class Store:
    """Results and ledger in one file, `devices/jobs.sqlite` of the cache. It holds no credentials.

    Args:
        folder: Another folder for it.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or cache_folder() / "devices"
        self._database = Database(self.folder / "jobs.sqlite")

    @property
    def path(self) -> Path:
        """The file."""
        return self._database.path

    # Results

    def results(self, keys: Sequence[str], where: Where) -> dict[str, Counts]:
        """The counts of those circuits that have some.

        A result whose device was calibrated between sending and fetching counts for both calibrations: which of them it
        was measured under is not known.

        Raises:
            DeviceError: If the file cannot be used, or a result is damaged.
        """
        found: dict[str, Counts] = {}
        with self._database.transaction() as db:
            for key, qubits, packed in ledger.select(db, keys, where):
                try:
                    counts = unpack_counts(packed, qubits)
                except (zlib.error, ValueError):
                    counts = {}
                if sum(counts.values()) != where.shots:
                    raise DeviceError(f"{self.path}: the result of circuit {key} is damaged; it was left as it is")
                found[key] = counts
        return found

    def other_calibrations(self, keys: Sequence[str], where: Where) -> int:
        """How many of the circuits have a result, but under other calibrations only."""
        with self._database.transaction() as db:
            anywhere = {key for key, _, _ in ledger.select(db, keys, replace(where, calibration=None))}
            here = {key for key, _, _ in ledger.select(db, keys, where)}
        return len(anywhere - here)

    def keep(self, found: dict[str, Counts], where: Where, qubits: int) -> None:
        """Store what a device measured that answers at once."""
        with self._database.transaction() as db:
            ledger.insert(
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
        """Write down that some circuits are about to be sent, on the disk before this returns.

        Taken are those that have no result and are in no open job, which is looked up in the same transaction; and none
        at all while the caller has not seen every loss of one of them: a circuit that was lost is paid again.

        Args:
            token: Of the new job.
            name: Of the device.
            circuits: Different ones.
            keys: Theirs.
            where: On what, and which results will do.
            now: The device's calibration.
            most: Circuits of one job.
            approve: Gives what so many circuits cost, or raises; then nothing was written.
            seen: Number of the last loss that the caller knows of; none where losses do not matter.

        Returns:
            The job; none where nothing is left to be sent, or there is a loss to be seen.
        """
        with self._database.transaction() as db:
            free = ledger.unclaimed(db, keys, where)[:most]
            if not free or (seen is not None and ledger.losses(db, keys, where, seen)):
                return None
            cost, taken = approve(len(free)), circuits.pick(free)
            job = Job(
                token, name, where.device, now, where.shots, len(free), SENDING, None, "", cost.money, cost.currency,
                time.time(), time.time(),
            )  # fmt: skip
            db.execute(
                f"INSERT INTO jobs ({ledger.COLUMNS}, content) VALUES ({ledger.marks(14)})",
                (*vars(job).values(), pack_circuits(taken)),
            )
            db.executemany(
                "INSERT INTO claims VALUES (?, ?, ?, ?)",
                [(keys[row], where.device, where.shots, token) for row in free],
            )
        return job

    def unclaimed(self, keys: Sequence[str], where: Where) -> int:
        """How many circuits have no result and are in no open job."""
        with self._database.transaction() as db:
            return len(ledger.unclaimed(db, keys, where))

    def losses(self, keys: Sequence[str], where: Where, seen: int) -> list[Loss]:
        """What was lost of these circuits, the first first.

        Args:
            keys: Of the circuits.
            where: On what.
            seen: Number of the last loss that is known.
        """
        with self._database.transaction() as db:
            return ledger.losses(db, keys, where, seen)

    def last_loss(self) -> int:
        """The number of the last loss of all; 0 where there was none."""
        with self._database.transaction() as db:
            return int(db.execute("SELECT coalesce(max(number), 0) FROM losses").fetchone()[0])

    def note(self, token: str, reason: str) -> None:
        """Write the provider's words beside a job."""
        with self._database.transaction() as db:
            db.execute(
                "UPDATE jobs SET reason = ?, changed = ? WHERE token = ?",
                (without_secrets(reason), time.time(), token),
            )

    def sent(self, token: str, job: str) -> bool:
        """Record the provider's id of a job; whether it was still about to be sent."""
        with self._database.transaction() as db:
            changed = db.execute(
                "UPDATE jobs SET state = ?, job = ?, reason = '', changed = ? WHERE token = ? AND state = ?",
                (SENT, job, time.time(), token, SENDING),
            )
            return bool(changed.rowcount == 1)

    def close(
        self, token: str, state: str, reason: str = "", found: dict[int, Counts] | None = None, now: str = ""
    ) -> bool:
        """Store what came of an open job and end it, in one transaction; its other circuits may be sent again.

        Args:
            token: Of the job.
            state: Its last.
            reason: Why.
            found: Counts by place in the job.
            now: The device's calibration.

        Returns:
            Whether it was open.
        """
        with self._database.transaction() as db:
            job = ledger.job_of(db, token)
            if job is None or job.state not in OPEN:
                return False
            came: set[str] = set()
            if found:  # else it ends although its circuits may be damaged
                circuits = ledger.circuits_in(db, token)
                keys = circuits.keys()
                results = {keys[place]: counts for place, counts in found.items()}
                under = (job.calibration, now or job.calibration)
                ledger.insert(db, results, job.device, job.shots, *under, circuits.qubits, token)
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
            if state == DONE:  # nobody asks for its circuits again
                db.execute("UPDATE jobs SET content = x'' WHERE token = ?", (token,))
        return True

    def jobs(self) -> list[Job]:
        """The whole ledger, oldest first."""
        with self._database.transaction() as db:
            return [Job(*row) for row in db.execute(f"SELECT {ledger.COLUMNS} FROM jobs ORDER BY created, token")]

    def job(self, token: str) -> Job:
        """One line of the ledger.

        Raises:
            DeviceError: If there is no such job.
        """
        with self._database.transaction() as db:
            job = ledger.job_of(db, token)
        if job is None:
            raise DeviceError(f"there is no job {token} in {self.path}; qweft jobs list shows all")
        return job

    def circuits_of(self, token: str) -> BoundCircuits | None:
        """The circuits of an open job; none where another process has ended it meanwhile."""
        with self._database.transaction() as db:
            job = ledger.job_of(db, token)
            return ledger.circuits_in(db, token) if job and job.state in OPEN else None

    def open_jobs(self, device: str, keys: Sequence[str] | None = None, shots: int = 0) -> list[Job]:
        """Open jobs of a device, oldest first: all, or those with some of these circuits."""
        with self._database.transaction() as db:
            rows = db.execute(
                f"SELECT {ledger.COLUMNS} FROM jobs WHERE device = ? AND state IN (?, ?) ORDER BY created, token",
                (device, *OPEN),
            )
            jobs = [Job(*row) for row in rows]
            if keys is not None:
                tokens = set(ledger.claims_of(db, keys, Where(device, shots, None)).values())
                jobs = [job for job in jobs if job.token in tokens]
        return jobs

    @contextmanager
    def sole(self, token: str) -> Iterator[bool]:
        """Whether this process alone decides about a job that is being sent, until the block ends.

        A process holds this from before the job is written down until its fate is known. So a job that is about to be
        sent and is held by nobody was left behind by a process that is gone.

        Raises:
            DeviceError: If the file system has no locks, or cannot be written.
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
