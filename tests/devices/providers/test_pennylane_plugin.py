"""The path of PennyLane's plugins, with its reference device, and failures played."""

import numpy as np
import pytest

from qweft.devices import NotTakenError, RefusedError, UnavailableError, make_device
from qweft.devices.jobs import Executor
from qweft.devices.jobs.retry import Retry
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


@pytest.mark.parametrize(
    ("shots", "results"),
    [
        (10, [{"000": 9}, {"000": 10}]),
        (10, [{"00": 10}, {"000": 10}]),
        (10, [{"000": float("inf")}, {"000": 10}]),
        (10, [{"000": 15, "001": -5}, {"000": 10}]),
        (None, [[0.25] * 8, [0.125] * 8]),
        (10, None),
        (10, [{"000": 10}]),
        (None, [[0.5, 0.5], [0.5, 0.5]]),
    ],
)
def test_results_that_do_not_fit(device, monkeypatch, shots, results):
    monkeypatch.setattr(pennylane, "execute", lambda *_, **__: results)
    with pytest.raises(RefusedError, match="do not fit"):
        device.run(circuits(2), shots)


def test_probabilities(device):
    some = circuits(3)
    np.testing.assert_allclose(
        device.run(some, None).values, make_device("exact").run(some, None).values, rtol=0, atol=1e-9
    )


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


def test_credentials_of_the_configuration_file_are_not_told(device, config, monkeypatch):
    config["ionq"] = {"global": {"api_key": "ionq-hushHUSH"}}

    def refuse(*_, **__):
        raise ValueError("401: ionq-hushHUSH is not valid")

    monkeypatch.setattr(pennylane, "device", refuse)
    with pytest.raises(RefusedError) as caught:
        device.check(10)
    assert str(caught.value) == f"device {NAME}: 401: [credential removed] is not valid"
