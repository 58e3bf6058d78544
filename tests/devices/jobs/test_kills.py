"""Real processes: killed at each step, and two at once."""

import itertools
import os
import signal

import pytest

from qweft.devices.jobs import Retry
from qweft.devices.jobs.store import OPEN, Store
from tests.devices.jobs.circuits import SHOTS, circuits, executor
from tests.devices.jobs.fake_provider import Cloud, FakeDevice
from tests.devices.jobs.killing import Clockwork, KillingStore, killing_device
from tests.forked import Forked, needs_fork

pytestmark = needs_fork
NUMBERS = itertools.count()


def start(folder, kill_at="none", numbers=(0, 1, 2)):
    """A process that has circuits measured and ends itself by SIGKILL before the step of that name."""

    def send():
        clock = Clockwork(kill_at, lambda: os.kill(os.getpid(), signal.SIGKILL))
        device = killing_device(FakeDevice(Cloud(f"{folder}.cloud"), most=2), clock)
        waiting = Retry(first=0.01, longest=0.05, settle=0.5, timeout=60)
        runner = executor(device, KillingStore(folder, clock), jobs_at_once=2, retry=waiting)
        runner.run(circuits(*numbers), SHOTS)

    return Forked(send, folder.parent / f"said-{next(NUMBERS)}.txt")


def is_right(folder, numbers):
    cloud, jobs = Cloud(f"{folder}.cloud"), Store(folder).jobs()
    assert cloud.bill() == dict.fromkeys(circuits(*numbers).keys(), 1)
    assert not [job for job in jobs if job.state in OPEN]
    assert sum(job.circuits for job in jobs if job.job) == sum(cloud.bill().values())


# The random schedules meet every one of some fifty steps within one process; here each kind of step is met once, by a
# kill that nothing can catch.
STEPS = "before submit", "after submit", "before state", "after fetch", "before its commit"


@pytest.mark.parametrize("name", STEPS)
def test_a_killed_process_is_followed_by_one_that_pays_for_nothing_twice(name, tmp_path):
    folder = tmp_path / "store"
    assert start(folder, name).ended(600) == -9
    following = start(folder)
    assert following.ended(600) == 0, following.said
    is_right(folder, (0, 1, 2))


def test_two_processes_at_once_send_each_circuit_once(tmp_path):
    folder = tmp_path / "store"
    Store(folder).jobs()
    both = [start(folder, numbers=(0, 1, 2, 3, 4, 5)), start(folder, numbers=(5, 4, 3, 2, 1, 6))]
    for process in both:
        assert process.ended(600) == 0, process.said
    is_right(folder, range(7))
