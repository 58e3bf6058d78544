"""Random schedules of faults, kills and restarts: nothing is lost, and nothing is paid for twice."""

import contextlib
import os
import random
import re
from collections import Counter

import numpy as np
import pytest

from qweft.devices import DeviceError, UnavailableError
from qweft.devices.frequencies import from_counts
from qweft.devices.jobs.manage import adopt, forget
from qweft.devices.jobs.record import OPEN
from qweft.devices.jobs.store import Store
from tests.devices.jobs.circuits import SHOTS, circuits, executor
from tests.devices.jobs.fake_provider import Cloud, FakeDevice, true_counts
from tests.devices.jobs.killing import Clockwork, Killed, KillingStore, kill, killing_device

SCHEDULES = int(os.environ.get("QWEFT_FAULT_SCHEDULES", "400"))
AT_A_TIME = 20
PROCESSES = 200
"""More than any schedule needs, as the scripted faults come to an end."""


def look_up(cloud, store, sentence):
    """What a user does whom a sentence tells to: look at the provider's page, then adopt or forget."""
    token = re.search(r"qweft jobs (?:adopt|forget) (qweft-[0-9a-f]{16})", sentence)
    if token is None:
        return
    there = [number for number, theirs, _, _ in cloud.jobs() if theirs == token[1]]
    with contextlib.suppress(UnavailableError):  # tomorrow, then
        if store.job(token[1]).state == "sending" and there:
            adopt(store, token[1], there[0])
        else:
            forget(store, token[1])


def one_process(draw, cloud, folder, can_find, monkeypatch):
    """Asks for some circuits, may be killed; true where all of them came."""
    device = FakeDevice(cloud, can_find, most=draw.randint(1, 4))
    clock = Clockwork(draw.randint(0, 60) if draw.random() < 0.7 else None, kill)
    monkeypatch.setattr("qweft.devices.jobs.manage.make_device", lambda name: FakeDevice(cloud, can_find))
    wanted = draw.sample(range(7), draw.randint(1, 7))
    if draw.random() < 0.3:
        wanted += wanted[:2]  # the same twice in one call
    runner = executor(
        killing_device(device, clock),
        KillingStore(folder, clock),
        jobs_at_once=draw.randint(1, 3),
        any_calibration=True,
    )
    try:
        found = runner.run(circuits(*wanted), SHOTS)
    except Killed:
        return set()
    except DeviceError as error:
        look_up(cloud, Store(folder), str(error))
        return set()
    expected = [from_counts(counts, 2, SHOTS) for counts in true_counts(circuits(*wanted), SHOTS)]
    np.testing.assert_array_equal(found.values, expected)
    return set(wanted)


def check(cloud, store, asked_for):
    """The ledger is the provider's bill, and the bill is each circuit once, and once more where its result was lost."""
    assert cloud.bill() - cloud.spoilt() == Counter(circuits(*sorted(asked_for)).keys())
    jobs = store.jobs()
    assert not [job for job in jobs if job.state in OPEN]
    ours = sorted((job.job, job.token, job.circuits) for job in jobs if job.job is not None)
    assert ours == sorted((number, token, len(taken)) for number, token, taken, _ in cloud.jobs())
    assert all(job.reason for job in jobs if job.state != "done")


@pytest.mark.parametrize("first", range(0, SCHEDULES, AT_A_TIME))
def test_any_schedule_ends_with_every_result_paid_once(first, tmp_path, monkeypatch):
    kinds = set()
    for seed in range(first, min(first + AT_A_TIME, SCHEDULES)):
        draw = random.Random(seed)
        folder, cloud = tmp_path / str(seed), Cloud(tmp_path / f"{seed}.sqlite")
        cloud.draw_script(seed, rate=draw.choice([0.0, 0.2, 0.5]))
        can_find = draw.random() < 0.5
        came = set()
        for _ in range(PROCESSES):
            came |= one_process(draw, cloud, folder, can_find, monkeypatch)
            if came == set(range(7)) and not [job for job in Store(folder).jobs() if job.state in OPEN]:
                break
        else:
            pytest.fail(f"schedule {seed} comes to no end")
        check(cloud, Store(folder), came)
        kinds |= {job.state for job in Store(folder).jobs()}
    assert {"done", "failed", "unsent"} <= kinds  # the faults were met
