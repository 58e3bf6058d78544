"""A device of this machine as if it were a provider's."""

import os

import numpy as np
import pytest

from qweft.devices import DeviceSettings, UnavailableError, make_device
from qweft.devices.jobs import Executor, Retry, Store
from qweft.devices.jobs.manage import fetch
from tests.devices.jobs.circuits import circuits


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("QWEFT_CACHE", str(tmp_path))
    return tmp_path / "devices" / "rehearsal"


def later(cache):
    for path in cache.iterdir():
        os.utime(path, (0, 0))


def test_a_rehearsal_is_a_run_that_ends_the_next_day(cache):
    device = make_device("rehearsal:shots")
    runner = Executor(device, retry=Retry(first=0.0, timeout=0.0))
    with pytest.raises(UnavailableError, match=r"live on, 2 circuits missing"):
        runner.run(circuits(0, 1), 30)
    later(cache)
    ((job, said),) = fetch(Store())
    assert (job.state, said) == ("done", "")
    np.testing.assert_array_equal(
        runner.run(circuits(0, 1), 30).values, make_device("shots").run(circuits(0, 1), 30).values
    )
    assert len(list(cache.iterdir())) == 1


def test_what_was_sent_with_other_settings_is_not_fetched_with_the_default_ones(cache):
    device = make_device("rehearsal:shots", DeviceSettings(seed=3))
    with pytest.raises(UnavailableError):
        Executor(device, retry=Retry(first=0.0, timeout=0.0)).run(circuits(0), 30)
    later(cache)
    ((job, said),) = fetch(Store())
    assert job.state == "sent" and "other settings of the device (rehearsal:shots seed 3)" in said
