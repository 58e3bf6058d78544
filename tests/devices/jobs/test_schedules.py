"""Random schedules of faults, kills, runs and users at once: nothing is lost, and nothing is paid for twice."""

import contextlib
import itertools
import os
import random
import re
from collections import Counter

import numpy as np
import pytest

from qweft.devices import DeviceError, UnavailableError
from qweft.devices.jobs.manage import adopt, cancel, fetch, forget
from qweft.devices.jobs.store import DONE, FORGOTTEN, OPEN, Store, Where
from qweft.devices.outcomes import from_counts
from tests.devices.jobs.circuits import SHOTS, circuits, executor, retry
from tests.devices.jobs.fake_provider import Cloud, FakeDevice, spoilt_places, true_counts
from tests.devices.jobs.killing import Clockwork, Killed, KillingStore, kill, killing_device
from tests.devices.jobs.turns import Turns

SCHEDULES = int(os.environ.get("QWEFT_FAULT_SCHEDULES", "200"))
AT_A_TIME = max(20, SCHEDULES // 25)
"""Together so many that every kind of fault is among them."""
ROUNDS = 200
"""More than any schedule needs, as the scripted faults come to an end."""


class WatchedStore(KillingStore):
    """Remembers what was lost before a run began."""

    began = None

    def last_loss(self):
        self.began = super().last_loss()
        return self.began


class Schedule:
    """One provider, one ledger, and whoever uses them; a seed decides on everything."""

    def __init__(self, seed, folder):
        self.draw = random.Random(seed)
        self.folder, self.cloud = folder / str(seed), Cloud(folder / f"{seed}.sqlite")
        self.cloud.draw_script(seed, rate=self.draw.choice([0.0, 0.2, 0.5]))
        self.can_find = self.draw.random() < 0.5
        self.came, self.day = set(), 1e9

    def time_of_day(self):
        """What somebody sets forwards and backwards all the time."""
        self.day += self.draw.choice([0.01, 1.0, 3600.0, 86400.0, -3600.0, -86400.0])
        return self.day

    def round(self):
        """One run, or two at once, and perhaps a user beside them; each may be killed."""
        turns = Turns(self.draw)
        works = [self.run] * self.draw.choice([1, 1, 2]) + [self.user] * (self.draw.random() < 0.5)
        turns.run([lambda work=work: work(turns) for work in works])

    def tools(self, turns, longest):
        clock = Clockwork(self.draw.randint(0, longest) if self.draw.random() < 0.7 else None, kill, turns.pass_on)
        device = killing_device(FakeDevice(self.cloud, self.can_find, most=self.draw.randint(1, 4)), clock)
        return device, WatchedStore(self.folder, clock)

    def run(self, turns):
        """Ask for some circuits."""
        device, store = self.tools(turns, 60)
        self.watch(device, store)
        wanted = self.draw.sample(range(7), self.draw.randint(1, 7))
        if self.draw.random() < 0.3:
            wanted += wanted[:2]  # the same twice in one call
        runner = executor(
            device, store, jobs_at_once=self.draw.randint(1, 3), any_calibration=True, retry=retry(settle=60.0)
        )
        try:
            found = runner.run(circuits(*wanted), SHOTS)
        except Killed:
            return
        except DeviceError as error:
            self.look_up(str(error))
            return
        expected = [from_counts(counts, 2, SHOTS) for counts in true_counts(circuits(*wanted), SHOTS)]
        np.testing.assert_array_equal(found.values, expected)
        self.came |= set(wanted)

    def watch(self, device, store):
        """See that a run sends nothing of which a job lost the result since it began: that is for the user to say."""
        submit = device.submit

        def watching(sent, shots, token):
            where = Where(device.identity(), shots, None)
            assert not Store(self.folder).losses(sent.keys(), where, store.began)
            return submit(sent, shots, token)

        device.submit = watching

    def user(self, turns):
        """Fetch, cancel and give up, whatever runs beside it."""
        _, store = self.tools(turns, 40)
        with contextlib.suppress(Killed):
            for _ in range(self.draw.randint(1, 4)):
                turns.pass_on()
                jobs = Store(self.folder).jobs()
                jobs = [job for job in jobs if job.state in OPEN] or jobs
                for act in self.draw.choices([fetch, cancel, forget], [4, 3, 1]) if jobs else ():
                    with contextlib.suppress(DeviceError):
                        act(store, self.draw.choice(jobs).token)

    def look_up(self, sentence):
        """What a user does whom a sentence tells to: look at the provider's page, then adopt or forget."""
        token = re.search(r"qweft jobs (?:adopt|forget) (qweft-[0-9a-f]{16})", sentence)
        if token is None:
            return
        store = Store(self.folder)
        there = [number for number, theirs, _, _ in self.cloud.jobs() if theirs == token[1]]
        with contextlib.suppress(UnavailableError):  # tomorrow, then
            if store.job(token[1]).state == "sending" and there:
                try:
                    adopt(store, token[1], there[0])
                except UnavailableError:
                    raise
                except DeviceError as error:
                    sentence = str(error)
                else:
                    return
            if f"forget {token[1]}" in sentence:
                with contextlib.suppress(DeviceError):  # another has ended it, or adopted it
                    forget(store, token[1])

    def is_over(self):
        return self.came == set(range(7)) and not [job for job in Store(self.folder).jobs() if job.state in OPEN]

    def check(self):
        """The ledger is the provider's bill.

        And the bill is each circuit once, and once more where the provider or the user lost its result.
        """
        jobs, theirs = {job.token: job for job in Store(self.folder).jobs()}, self.cloud.jobs()
        given_up = Counter(
            taken.keys()[place]
            for _, token, taken, fault in theirs
            for place in range(len(taken))
            if jobs[token].state == FORGOTTEN and place not in spoilt_places(fault, len(taken))
        )
        wanted = Counter(circuits(*sorted(self.came)).keys())
        assert self.cloud.bill() - self.cloud.spoilt() - given_up == wanted
        for number, token, taken, _ in theirs:
            assert jobs[token].circuits == len(taken)
            assert jobs[token].job == number or (jobs[token].job, jobs[token].state) == (None, FORGOTTEN)
        known = {token for _, token, _, _ in theirs}
        assert not [job for job in jobs.values() if job.job is not None and job.token not in known]
        assert all(job.reason for job in jobs.values() if job.state != DONE)


@pytest.mark.parametrize("first", range(0, SCHEDULES, AT_A_TIME))
def test_any_schedule_ends_with_every_result_paid_once(first, tmp_path, monkeypatch):
    kinds = set()
    for seed in range(first, min(first + AT_A_TIME, SCHEDULES)):
        schedule, tokens = Schedule(seed, tmp_path), itertools.count()
        with monkeypatch.context() as patched:
            patched.setattr("time.time", schedule.time_of_day)
            patched.setattr("secrets.token_hex", lambda number, tokens=tokens: f"{next(tokens):0{2 * number}x}")
            patched.setattr(
                "qweft.devices.jobs.manage.make_device",
                lambda name, schedule=schedule: FakeDevice(schedule.cloud, schedule.can_find),
            )
            for _ in range(ROUNDS):
                schedule.round()
                if schedule.is_over():
                    break
            else:
                pytest.fail(f"schedule {seed} comes to no end")
        schedule.check()
        kinds |= {job.state for job in Store(schedule.folder).jobs()}
    assert {"done", "failed", "unsent", "cancelled"} <= kinds  # the faults were met
