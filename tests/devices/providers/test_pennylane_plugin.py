"""The path of PennyLane's plugins, with its reference device, and failures played."""

import pytest

from qweft.devices import NotTakenError, RefusedError, UnavailableError, make_device
from qweft.devices.jobs import Executor, Retry
from qweft.devices.jobs.store import Store, Where
from tests.devices.providers.forms import circuits

pennylane = pytest.importorskip("pennylane")
NAME = "pennylane:reference.qubit"
execute = pennylane.execute


@pytest.fixture
def device():
    return make_device(NAME)


@pytest.fixture
def config(monkeypatch):
    """PennyLane's configuration file, as if it held this."""
    held = {}
    monkeypatch.setattr(pennylane.default_config, "_config", held)
    return held


def test_what_was_measured_before_a_failure_is_kept(device, monkeypatch, tmp_path):
    calls = []

    def fail_at_last(tapes, *rest, **options):
        calls.append(len(tapes))
        if len(calls) == 3:
            raise RuntimeError("task 7 FAILED")
        return execute(tapes, *rest, **options)

    monkeypatch.setattr(pennylane, "execute", fail_at_last)
    store, some = Store(tmp_path), circuits(25)
    with pytest.raises(RefusedError, match="task 7 FAILED"):
        Executor(device, store, retry=Retry(sleep=lambda seconds: None)).run(some, 10)
    assert calls == [10, 10, 5]
    assert len(store.results(some.keys(), Where(device.identity(), 10, None))) == 20


def test_a_failure_in_between_says_nothing_of_what_was_taken(device, monkeypatch):
    """Even a connection that is refused: the circuit before may be measured, or this one asked for its result."""

    def refuse(*_, **__):
        raise ConnectionRefusedError("connection refused")

    monkeypatch.setattr(pennylane, "execute", refuse)
    with pytest.raises(UnavailableError) as caught:
        device.run(circuits(2), 10)
    assert type(caught.value) is UnavailableError
    monkeypatch.setattr(pennylane, "device", refuse)  # nothing was sent
    with pytest.raises(NotTakenError):
        device.run(circuits(2), 10)
    with pytest.raises(UnavailableError) as caught:
        device.check(10)
    assert type(caught.value) is UnavailableError


def test_the_identity_knows_the_settings_but_no_credential(device, config):
    """The configuration file says which chip is behind a name: results of one are not those of another."""
    assert device.identity() == NAME
    config["reference"] = {"qubit": {"device_arn": "arn:one"}, "global": {"api_key": "hush-hush-1234"}}
    one = device.identity()
    config["reference"]["global"]["api_key"] = "hush-hush-5678"
    assert device.identity() == one != NAME
    config["reference"]["qubit"]["device_arn"] = "arn:two"
    assert device.identity() not in (one, NAME)
    config["other"] = {"qubit": {"device_arn": "arn:three"}}
    config["reference"] = {}
    assert device.identity() == NAME
