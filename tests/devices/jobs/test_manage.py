"""Jobs that end after the process that sent them."""

import numpy as np
import pytest

from qweft.devices import UnavailableError, make_device
from qweft.devices.jobs import Store
from qweft.devices.jobs.manage import fetch
from tests.devices.jobs.circuits import SHOTS, circuits, executor, retry
from tests.devices.jobs.fake_provider import Cloud, FakeDevice, register

NO_PATIENCE = retry(first=0.0, timeout=0.0)


@pytest.fixture
def cloud(tmp_path, monkeypatch):
    cloud = Cloud(tmp_path / "cloud.sqlite")
    register(monkeypatch, cloud.path)
    cloud.script("state", ["running", "running"])
    return cloud


@pytest.fixture
def device(cloud):
    return make_device(f"fake:{cloud.path}")


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def test_a_run_that_ends_the_next_day(cloud, device, store):
    runner = executor(device, store, retry=NO_PATIENCE)
    with pytest.raises(UnavailableError, match="2 circuits missing"):
        runner.run(circuits(0, 1), SHOTS)
    cloud.script("state", [None])
    ((job, message),) = fetch(store)
    assert (job.state, message) == ("done", "")
    frequencies = runner.run(circuits(0, 1), SHOTS)
    np.testing.assert_array_equal(frequencies.values, make_device("shots").run(circuits(0, 1), SHOTS).values)
    assert len(cloud.jobs()) == 1


def test_what_was_sent_with_other_settings_is_not_fetched_with_the_default_ones(device, store, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(FakeDevice, "identity", lambda self: f"{self.name} seed 3")
        with pytest.raises(UnavailableError):
            executor(device, store, retry=NO_PATIENCE).run(circuits(0), SHOTS)
    ((job, message),) = fetch(store)
    assert job.state == "sent"
    assert f"other settings of the device ({device.name} seed 3)" in message
