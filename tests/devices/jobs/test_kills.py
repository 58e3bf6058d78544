"""Real processes: killed at each step, and two at once."""

import os
import subprocess
import sys

import pytest

from qweft.devices.jobs.record import OPEN
from qweft.devices.jobs.store import Store
from tests.devices.jobs.circuits import circuits
from tests.devices.jobs.fake_provider import Cloud


def start(folder, kill_at="none", numbers="0,1,2"):
    command = [
        sys.executable,
        "-m",
        "tests.devices.jobs.process",
        str(folder),
        f"{folder}.cloud",
        str(kill_at),
        numbers,
    ]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def finish(process):
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def is_right(folder, numbers):
    cloud, jobs = Cloud(f"{folder}.cloud"), Store(folder).jobs()
    assert cloud.bill() == dict.fromkeys(circuits(*numbers).keys(), 1)
    assert not [job for job in jobs if job.state in OPEN]
    assert sum(job.circuits for job in jobs if job.job) == sum(cloud.bill().values())


# A kill at every one of some fifty steps would take minutes, most of them imports of PyTorch. The random schedules meet
# them all within one process; here each kind of step is met once, by a kill that nothing can catch.
STEPS = "before submit", "after submit", "before state", "after fetch", "before its commit"


@pytest.mark.parametrize("name", STEPS)
def test_a_killed_process_is_followed_by_one_that_pays_for_nothing_twice(name, tmp_path):
    folder = tmp_path / "store"
    killed = start(folder, name)
    assert finish(killed)[0] == -9
    code, _, err = finish(start(folder, "none"))
    assert code == 0, err
    is_right(folder, (0, 1, 2))


def test_two_processes_at_once_send_each_circuit_once(tmp_path):
    folder = tmp_path / "store"
    Store(folder).jobs()
    both = [start(folder, "none", "0,1,2,3,4,5"), start(folder, "none", "5,4,3,2,1,6")]
    for code, _, err in map(finish, both):
        assert code == 0, err
    is_right(folder, range(7))
