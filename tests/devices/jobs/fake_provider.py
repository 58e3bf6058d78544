"""A provider with faults that can be scripted; its cloud is a file, so that it outlives a killed process.

It bills every circuit that it takes. Calls are counted in the file, so that a restarted process meets the next faults
of the script and not the same again.
"""

import random
import sqlite3
from collections import Counter
from contextlib import closing, contextmanager
from itertools import chain

from qweft.devices import JobState, Limits, NotTakenError, RefusedError, RemoteDevice, UnavailableError, make_device
from qweft.devices.bound import pack_circuits, unpack_circuits
from qweft.devices.device import Provider
from qweft.devices.outcomes import sample, to_counts
from qweft.devices.registry import families

API_KEY = "sk-fake-4f1d8a7c"
"""What must be found nowhere."""

SCHEMA = (
    "CREATE TABLE IF NOT EXISTS jobs (id INTEGER PRIMARY KEY, token, shots, content BLOB, fault, polls)",
    "CREATE TABLE IF NOT EXISTS calls (kind TEXT PRIMARY KEY, number INTEGER)",
    "CREATE TABLE IF NOT EXISTS script (kind TEXT, number INTEGER, fault TEXT, PRIMARY KEY (kind, number))",
    "CREATE TABLE IF NOT EXISTS calibrations (number INTEGER PRIMARY KEY)",
)

FAULTS = {
    "submit": ("refuse", "busy", "lost before", "lost after"),
    "job": ("partial", "wrong", "duplicates", "failed", "failed in part", "gone", "slow"),
    "state": ("silent", "running"),
    "fetch": ("silent",),
    "find": ("silent", "late"),
    "calibration": ("new",),
}
"""What can go wrong in a call of each kind; "job" is what becomes of a job that was taken."""

LATE = 4
"""So often at most a drawn script does not list a job that was taken: within less than a minute of looks."""


class Cloud:
    """The provider's side."""

    def __init__(self, path):
        self.path = path
        with self.open() as db:
            for statement in SCHEMA:
                db.execute(statement)

    @contextmanager
    def open(self):
        with closing(sqlite3.connect(self.path, 30, isolation_level=None)) as db:
            db.execute("PRAGMA synchronous = OFF")  # it is to survive killed processes, not power cuts
            db.execute("BEGIN IMMEDIATE")
            yield db
            db.execute("COMMIT")

    def script(self, kind, faults):
        """The faults of the next calls of a kind; none for a call that goes well."""
        with self.open() as db:
            first = (db.execute("SELECT number FROM calls WHERE kind = ?", (kind,)).fetchone() or (0,))[0]
            for place, fault in enumerate(faults):
                db.execute("INSERT OR REPLACE INTO script VALUES (?, ?, ?)", (kind, first + place, fault))

    def draw_script(self, seed, rate, calls=12):
        """Random faults for the first calls of every kind; later ones go well."""
        draw = random.Random(seed)
        for kind, faults in FAULTS.items():
            drawn = [draw.choice(faults) if draw.random() < rate else None for _ in range(calls)]
            late = [place for place, fault in enumerate(drawn) if fault == "late"]
            for place in late[LATE:]:
                drawn[place] = None
            self.script(kind, drawn)

    def next_fault(self, db, kind):
        number = (db.execute("SELECT number FROM calls WHERE kind = ?", (kind,)).fetchone() or (0,))[0]
        db.execute("INSERT OR REPLACE INTO calls VALUES (?, ?)", (kind, number + 1))
        return (
            db.execute("SELECT fault FROM script WHERE kind = ? AND number = ?", (kind, number)).fetchone() or (None,)
        )[0]

    def jobs(self):
        """(id, token, circuits, fault) of every job that was taken."""
        with self.open() as db:
            rows = db.execute("SELECT id, token, content, fault FROM jobs ORDER BY id").fetchall()
        return [(f"job-{number}", token, unpack_circuits(content), fault) for number, token, content, fault in rows]

    def bill(self):
        """How often each circuit was billed, by key."""
        return Counter(chain.from_iterable(circuits.keys() for _, _, circuits, _ in self.jobs()))

    def spoilt(self):
        """How often each circuit was billed without a usable result of it being handed out, by key."""
        return Counter(
            circuits.keys()[place]
            for _, _, circuits, fault in self.jobs()
            for place in spoilt_places(fault, len(circuits))
        )

    def calibration(self):
        with self.open() as db:
            if self.next_fault(db, "calibration") == "new":
                db.execute("INSERT INTO calibrations DEFAULT VALUES")
            return f"2026-01-{1 + db.execute('SELECT count(*) FROM calibrations').fetchone()[0]:02d}"


def spoilt_places(fault, circuits):
    """Places in a job whose results never come, with a fault."""
    places = range(circuits)
    if fault in ("duplicates", "failed", "gone", "cancelled"):
        return places
    if fault == "partial":
        return places[1::3]
    return places[::2] if fault in ("wrong", "failed in part") else []


def true_counts(circuits, shots):
    """What the provider measures: the same for the same circuit and shots."""
    return to_counts(sample(make_device("exact").run(circuits, None).values, shots, circuits.keys(), 0), shots)


class FakeDevice(RemoteDevice):
    """The client's side, as a provider's package would be."""

    def __init__(self, cloud, can_find=True, most=4, name="fake:chip"):
        super().__init__(name)
        self.cloud, self.can_find, self.limits = cloud, can_find, Limits(qubits=5, circuits=most)
        self._key = API_KEY

    def calibration(self):
        return self.cloud.calibration()

    def submit(self, circuits, shots, token):
        assert len(circuits) <= self.limits.circuits
        with self.cloud.open() as db:
            fault = self.cloud.next_fault(db, "submit")
            if fault not in ("refuse", "busy", "lost before"):
                number = db.execute(
                    "INSERT INTO jobs (token, shots, content, fault, polls) VALUES (?, ?, ?, ?, 0)",
                    (token, shots, pack_circuits(circuits), self.cloud.next_fault(db, "job")),
                ).lastrowid
        if fault == "refuse":
            raise RefusedError("your plan does not include this chip")
        if fault == "busy":
            raise NotTakenError("429 too many requests")
        if fault in ("lost before", "lost after"):
            raise UnavailableError("connection reset by peer")
        return f"job-{number}"

    def state(self, job):
        with self.cloud.open() as db:
            fault = self.cloud.next_fault(db, "state")
            row = db.execute("SELECT fault, polls FROM jobs WHERE id = ?", (job.removeprefix("job-"),)).fetchone()
            if fault != "silent":
                db.execute("UPDATE jobs SET polls = polls + 1 WHERE id = ?", (job.removeprefix("job-"),))
        if fault == "silent":
            raise UnavailableError("504 gateway timeout")
        if row is None or (row[0] == "gone" and row[1]):
            raise RefusedError(f"no job {job}")
        if row[0] == "cancelled":
            return JobState.CANCELLED
        if fault == "running" or row[0] == "gone" or (row[0] == "slow" and row[1] < 6):
            return JobState.RUNNING if row[1] else JobState.QUEUED
        return JobState.FAILED if row[0] in ("failed", "failed in part") else JobState.DONE

    def fetch(self, job, circuits, shots):
        with self.cloud.open() as db:
            fault = self.cloud.next_fault(db, "fetch")
            kept, shots, mine = db.execute(
                "SELECT content, shots, fault FROM jobs WHERE id = ?", (job.removeprefix("job-"),)
            ).fetchone()
        circuits = unpack_circuits(kept)  # whatever the client takes the job for
        if fault == "silent":
            raise UnavailableError("504 gateway timeout")
        if mine == "failed":
            raise RefusedError("error 1517: the chip was warm")
        answer = dict(enumerate(true_counts(circuits, shots)))
        if mine == "duplicates":
            answer[len(circuits)] = answer[0]
        for place in spoilt_places(mine, len(circuits)) if mine != "duplicates" else ():
            if mine == "wrong":
                answer[place] = {bits: count + 1 for bits, count in answer[place].items()}
            else:
                del answer[place]
        return answer

    def find(self, token):
        if not self.can_find:
            return None
        with self.cloud.open() as db:
            fault = self.cloud.next_fault(db, "find")
            row = db.execute("SELECT id FROM jobs WHERE token = ?", (token,)).fetchone()
        if fault == "silent":
            raise UnavailableError("504 gateway timeout")
        return f"job-{row[0]}" if row and fault != "late" else None

    def cancel(self, job):
        with self.cloud.open() as db:
            db.execute("UPDATE jobs SET fault = 'cancelled' WHERE id = ? AND polls = 0", (job.removeprefix("job-"),))


def make(name, target, settings):
    """For the registry: "fake:PATH" is the provider whose cloud is that file."""
    return FakeDevice(Cloud(target), name=name)


def register(monkeypatch, path, most=4):
    """Make the provider a device that commands know for the rest of a test; return the name, "fake:PATH"."""

    def make_fake(name, target, settings):
        return FakeDevice(Cloud(target), most=most, name=name)

    monkeypatch.setitem(families(), "fake", Provider(make_fake))
    return f"fake:{path}"
