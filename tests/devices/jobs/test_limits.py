"""Providers that take so many shots in all: the more of a circuit, the more jobs."""

import pytest

from qweft.devices import Limits
from qweft.devices.jobs import estimate
from qweft.devices.jobs.store import Store
from tests.devices.jobs.circuits import PRICE, SHOTS, circuits, executor
from tests.devices.jobs.fake_provider import Cloud, FakeDevice


@pytest.mark.parametrize(
    ("limits", "shots", "most"),
    [
        (Limits(), 10, None),
        (Limits(circuits=5), 10, 5),
        (Limits(executions=100), 10, 10),
        (Limits(executions=100), None, None),
        (Limits(circuits=5, executions=100), 10, 5),
        (Limits(circuits=5, executions=100), 30, 3),
        (Limits(circuits=5, executions=100), 1000, 1),
    ],
)
def test_circuits_of_one_job(limits, shots, most):
    assert limits.circuits_at(shots) == most


def test_what_is_estimated_is_what_is_sent(tmp_path):
    cloud = Cloud(tmp_path / "cloud.sqlite")
    device, some = FakeDevice(cloud, most=100), circuits(*range(5))
    device.limits = Limits(circuits=100, executions=2 * SHOTS)
    assert estimate(device, PRICE, 5, SHOTS).jobs == 3
    executor(device, Store(tmp_path)).run(some, SHOTS)
    assert len(cloud.jobs()) == 3
