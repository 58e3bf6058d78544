"""Origin's cloud: pyqpanda3's own client against a server on this machine that answers as the client takes it.

Nothing here was run on a chip, and what the real cloud sends was not seen.
"""

import json
import subprocess
import sys
import time
import types
from pathlib import Path

import numpy as np
import pytest

from qweft.devices import (
    Frequencies,
    JobState,
    NotTakenError,
    RefusedError,
    RemoteDevice,
    UnavailableError,
    make_device,
)
from qweft.devices.mitigation import fold_circuits
from qweft.devices.outcomes import from_counts
from tests.devices.providers.forms import circuits
from tests.devices.providers.scores import check_scatter

pytest.importorskip("pyqpanda3")
KEY = "hushHUSH0123456789abcdef"


def asked(cloud):
    """What was sent to the server: paths and contents."""
    return [json.loads(line) for line in (cloud / "log").read_text("utf-8").splitlines()]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cloud")
    script = Path(__file__).with_name("origin_server.py")
    process = subprocess.Popen([sys.executable, script, folder / "port"])
    deadline = time.monotonic() + 300
    while not (folder / "port").exists() or not (folder / "port").read_text("utf-8"):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.02)
    yield folder
    process.terminate()
    process.wait()


@pytest.fixture
def cloud(server, monkeypatch):
    monkeypatch.setenv("ORIGIN_API_KEY", KEY)
    monkeypatch.setenv("ORIGIN_API_URL", "http://127.0.0.1:" + (server / "port").read_text("utf-8"))
    (server / "log").write_text("", "utf-8")
    (server / "mode").write_text("", "utf-8")
    return server


@pytest.fixture
def device(cloud):
    return make_device("origin:WK_C180")


def test_a_job_from_sending_to_counts(cloud, device):
    some = circuits(20)
    assert isinstance(device, RemoteDevice) and device.limits.circuits == 200 and not device.can_find
    job = device.submit(some, 300, "qweft-17")
    ((path, sent),) = asked(cloud)
    assert path.endswith("/submit.json")
    assert (sent["batchNo"], sent["ChipID"], sent["Configuration"]["shot"]) == ("qweft-17", "WK_C180", 300)
    assert sent["Configuration"]["amendFlag"] == 0 and sent["Configuration"]["mappingFlag"]
    again = make_device("origin:WK_C180")  # the next day
    assert again.state(job) is JobState.DONE
    counts = again.fetch(job, some, 300)
    rows = np.stack([from_counts(counts[place], 3, 300) for place in range(20)])
    check_scatter(Frequencies(rows, 300), make_device("exact").run(some, None).expectations())


def test_a_folded_circuit_is_not_optimised_away(cloud, device):
    for some in (circuits(1), fold_circuits(circuits(1), 3)):
        device.submit(some, 10, "t")
    plain, three = (sent for _, sent in asked(cloud))
    assert plain["Configuration"]["circuitOptimization"] and not three["Configuration"]["circuitOptimization"]
    assert three["QProg"][0].count("BARRIER") == 3
    assert three["QProg"][0].count("CONTROL") == 3 * plain["QProg"][0].count("CONTROL")


@pytest.mark.parametrize(("code", "state"), [("1", "QUEUED"), ("2", "RUNNING"), ("4", "FAILED")])
def test_states(cloud, device, code, state):
    job = device.submit(circuits(1), 10, "t")
    (cloud / "mode").write_text(f"state {code}", "utf-8")
    assert device.state(job) is JobState[state]
    device.cancel(job)
    if state == "FAILED":
        with pytest.raises(RefusedError, match="qubit 7 is off"):
            device.fetch(job, circuits(1), 10)


@pytest.mark.parametrize(
    ("mode", "kind", "words"),
    [
        ("says insufficient computing resources", RefusedError, "insufficient computing resources"),
        ("says no permission for KEY", RefusedError, "no permission for .credential removed."),
        ("says 余额", RefusedError, "余额"),
        ("says the chip is under maintenance", NotTakenError, "under maintenance"),
        ("says server is busy", NotTakenError, "busy"),
        ("says what nobody has heard yet", UnavailableError, "nobody has heard"),
        ("status 401", RefusedError, "status 401.*refused for .credential removed."),
        ("status 429", NotTakenError, "status 429"),
        ("status 503", UnavailableError, "status 503"),
        ("hang up", UnavailableError, "Empty reply"),
        ("nothing", UnavailableError, "document is empty"),
        ('sends {"success": true, "obj": {"taskId": ""}}', UnavailableError, "job_id is null"),
        ('sends {"success": false}', RefusedError, "unknown error"),
    ],
)
def test_what_the_cloud_says_is_sorted(cloud, device, mode, kind, words):
    """Only what was certainly not taken may be sent again, and only what is known for a refusal is one."""
    (cloud / "mode").write_text(mode, "utf-8")
    with pytest.raises(kind, match=words) as caught:
        device.submit(circuits(1), 10, "t")
    assert type(caught.value) is kind
    assert KEY not in str(caught.value) and KEY not in repr(vars(device))


def test_calibration_changes_with_the_chips_fidelities(device):
    """No date is told: a hash of what the chip is said to be."""

    def played(readout):
        qubit = types.SimpleNamespace(
            get_qubit_id=lambda: "0",
            get_single_gate_fidelity=lambda: 0.995,
            get_readout_fidelity=lambda: readout,
            get_t1=lambda: 9.3,
            get_t2=lambda: 1.1,
        )
        pair = types.SimpleNamespace(get_qubits=lambda: [0, 1], get_fidelity=lambda: 0.95)
        chip = types.SimpleNamespace(single_qubit_info=lambda: [qubit], double_qubits_info=lambda: [pair])
        device.__dict__["_backend"] = types.SimpleNamespace(chip_info=lambda: chip)
        return device.calibration()

    assert played(0.92) == played(0.92) != played(0.93)
