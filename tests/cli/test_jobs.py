import json

import pytest

from qweft.cli.main import main
from qweft.devices import JobState
from qweft.devices.jobs.store import Job, Store, Where
from tests.devices.jobs.circuits import circuits
from tests.devices.jobs.fake_provider import Cloud, FakeDevice, register


@pytest.fixture
def cloud(tmp_path, monkeypatch):
    monkeypatch.setenv("QWEFT_CACHE", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "150")
    register(monkeypatch, tmp_path / "cloud.sqlite")
    return Cloud(tmp_path / "cloud.sqlite")


@pytest.fixture
def token(cloud):
    """A job that is being sent, of which nobody knows whether it was taken."""
    store, name = Store(), f"fake:{cloud.path}"
    where = Where(name, 20, "monday")
    for index, token in enumerate(("qweft-1", "qweft-2")):
        pair = circuits(2 * index, 2 * index + 1)
        store.claim(Job(token, name, name, "monday", 20), pair, where, None, lambda count: None)
    return "qweft-1"


def rows(capsys):
    return json.loads(capsys.readouterr().out)


def test_a_job_from_sending_to_done(cloud, token, capsys):
    assert FakeDevice(cloud).submit(circuits(0, 1), 20, token) == "job-1"
    assert main(["jobs", "list", "--json"]) == 0
    assert [(job["token"], job["state"]) for job in rows(capsys)] == [("qweft-1", "sending"), ("qweft-2", "sending")]
    assert main(["jobs", "adopt", token, "job-1", "--json"]) == 0
    assert rows(capsys)[0]["job"] == "job-1"
    assert main(["jobs", "fetch", token, "--json"]) == 0
    assert rows(capsys)[0]["state"] == "done"
    assert main(["jobs", "fetch", "--json"]) == 0
    (other,) = rows(capsys)
    assert (other["token"], other["state"]) == ("qweft-2", "sending")
    assert "the provider lists no such job" in other["said"]
    assert main(["jobs", "forget", "qweft-2"]) == 0
    capsys.readouterr()
    assert main(["jobs"]) == 0
    out = capsys.readouterr().out
    assert "qweft-1" in out and "forgotten" in out


def test_show_and_cancel(cloud, token, capsys):
    device = FakeDevice(cloud)
    cloud.script("job", ["slow"])
    Store().sent(token, device.submit(circuits(0, 1), 20, token))
    assert main(["jobs", "cancel", token]) == 0
    assert "stopped at the provider" in capsys.readouterr().out
    assert device.state("job-1") is JobState.CANCELLED
    assert main(["jobs", "show", token]) == 0
    assert "cancelled" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words", ["error [/circuit] at gate 3", "qubit [q3] is off", "[1517] the chip was warm", "[red]x[/red] :x:"]
)
def test_a_providers_words_are_shown_as_they_are(cloud, token, capsys, monkeypatch, words):
    Store().note(token, words)
    assert main(["jobs", "show", token]) == 0
    assert words in capsys.readouterr().out
    monkeypatch.setattr("qweft.devices.jobs.manage.fetch", lambda store, *_: [(store.job(token), words)])
    assert main(["jobs", "fetch"]) == 0
    assert capsys.readouterr().out.count(words) == 2


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["fetsh"], "fetch"),
        (["show"], "the token of a job"),
        (["adopt", "qweft-1"], "the provider's id"),
        (["list", "x"], "got x"),
        (["adopt", "a", "b", "c"], "'c'"),
        (["show", "qweft-9"], "qweft-9"),
        (["cancel", "qweft-1"], "sending"),
    ],
)
def test_what_cannot_be_done(cloud, token, capsys, argv, words):
    assert main(["jobs", *argv]) == 2
    assert words in capsys.readouterr().err


def test_devices(cloud, capsys, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "pyqpanda3" else name)
    assert main(["devices", "--json"]) == 0
    devices = {entry["name"]: entry for entry in rows(capsys)}
    assert devices["exact"]["missing"] == []
    assert devices["origin:cpu"]["install"] == "pip install '.[origin]'"
    assert main(["devices"]) == 0
    assert "pip install '.[origin]'" in capsys.readouterr().out
