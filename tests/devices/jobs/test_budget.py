"""What would be sent, before anything is sent."""

import io
import sys

import pytest

from qweft.devices import DeviceError, Limits, make_device
from qweft.devices.jobs import CircuitBudget, Store, confirm, estimate
from tests.devices.jobs.circuits import SHOTS, circuits, executor
from tests.devices.jobs.fake_provider import Cloud, FakeDevice


@pytest.fixture
def device(tmp_path):
    return FakeDevice(Cloud(tmp_path / "cloud.sqlite"), most=100)


@pytest.mark.parametrize(
    ("limits", "shots", "most"),
    [
        (Limits(), 10, None),
        (Limits(circuits=5), 10, 5),
        (Limits(executions=100), None, None),
        (Limits(circuits=5, executions=100), 30, 3),
        (Limits(circuits=5, executions=100), 1000, 1),
    ],
)
def test_circuits_of_one_job(limits, shots, most):
    assert limits.circuits_at(shots) == most


def test_what_is_estimated_is_what_is_sent(device, tmp_path):
    device.limits = Limits(circuits=100, executions=2 * SHOTS)
    assert estimate(device, 5, SHOTS).jobs == 3
    executor(device, Store(tmp_path)).run(circuits(*range(5)), SHOTS)
    assert len(device.cloud.jobs()) == 3


def test_an_estimate_counts_what_is_not_there_yet(device):
    partly_cached = estimate(device, 450, 10, cached=100)
    assert (partly_cached.circuits, partly_cached.jobs) == (450, 4)
    assert partly_cached.needs_consent
    all_cached = estimate(device, 100, 10, cached=100)
    assert all_cached.jobs == 0
    assert not all_cached.needs_consent


def test_a_refund_makes_room_under_the_cap():
    budget = CircuitBudget(max_circuits=4)
    budget.spend(3)
    budget.refund(3)
    budget.spend(4)
    assert budget.spent == 4


def test_without_a_terminal_nobody_is_asked(device, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    monkeypatch.setenv("COLUMNS", "120")
    with pytest.raises(DeviceError, match="no terminal to ask at; pass --yes"):
        confirm(estimate(device, 450, 10, cached=100), yes=False)
    out, err = capsys.readouterr()
    assert out == "" and "450, of which 100 have results" in err
    confirm(estimate(device, 450, 10), yes=True)
    assert "450" in capsys.readouterr().err


def test_a_simulator_of_this_machine_needs_no_consent(capsys):
    confirm(estimate(make_device("shots"), 450, 10), yes=False)
    assert capsys.readouterr() == ("", "")
