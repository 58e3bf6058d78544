"""One executor with the fake provider, fault by fault."""

import logging
import sqlite3
import subprocess

import numpy as np
import pytest

from qweft.devices import (
    DeviceError,
    DeviceSettings,
    NotTakenError,
    OutOfBudgetError,
    RefusedError,
    UnavailableError,
    make_device,
)
from qweft.devices.frequencies import from_counts
from qweft.devices.jobs import Executor
from qweft.devices.jobs.budget import Caps
from qweft.devices.jobs.manage import adopt, cancel, fetch, forget
from qweft.devices.jobs.prices import Charge
from qweft.devices.jobs.store import Store, Where
from tests.devices.jobs.circuits import SHOTS, circuits, executor, patience
from tests.devices.jobs.fake_provider import API_KEY, Cloud, FakeDevice, true_counts


@pytest.fixture
def cloud(tmp_path, monkeypatch):
    cloud = Cloud(tmp_path / "cloud.sqlite")
    monkeypatch.setattr("qweft.devices.jobs.manage.make_device", lambda name: FakeDevice(cloud))
    return cloud


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def states(store):
    return [job.state for job in store.jobs()]


def test_each_circuit_is_sent_once_and_comes_from_the_store_afterwards(cloud, store):
    runner = executor(FakeDevice(cloud), store)
    wanted = circuits(3, 1, 4, 1, 5, 9, 2, 6, 5, 3)
    found = runner.run(wanted, SHOTS)
    np.testing.assert_array_equal(found.values, [from_counts(c, 2, SHOTS) for c in true_counts(wanted, SHOTS)])
    assert set(cloud.bill().values()) == {1}
    assert [len(sent) for _, _, sent, _ in cloud.jobs()] == [4, 3]
    assert runner.budget.circuits == 7 and runner.budget.jobs == 2
    again = executor(FakeDevice(cloud), store)
    np.testing.assert_array_equal(again.run(wanted, SHOTS).values, found.values)
    assert again.budget.circuits == 0 and len(cloud.jobs()) == 2
    again.run(wanted, SHOTS + 1)  # other shots are another measurement
    assert len(cloud.jobs()) == 4


def test_what_is_sent_stands_in_the_ledger_before(cloud, store):
    seen = []
    device = FakeDevice(cloud)
    submit = device.submit
    device.submit = lambda sent, shots, token: seen.append(store.job(token)) or submit(sent, shots, token)
    executor(device, store).run(circuits(1, 2), SHOTS)
    assert [(job.state, job.circuits, job.job) for job in seen] == [("sending", 2, None)]
    assert seen[0].cost == pytest.approx(1.0 + 2 * 0.25 + 2 * SHOTS * 0.01)
    assert states(store) == ["done"]


def test_a_refused_job_stops_the_run_and_keeps_what_came(cloud, store):
    cloud.script("submit", [None, "refuse"])
    runner = executor(FakeDevice(cloud), store, jobs_at_once=1)
    with pytest.raises(RefusedError, match=r"refused a job of 2 circuits: your plan does not include this chip"):
        runner.run(circuits(*range(6)), SHOTS)
    assert states(store) == ["done", "refused"]
    assert runner.budget.circuits == 4
    runner.run(circuits(*range(6)), SHOTS)
    assert set(cloud.bill().values()) == {1}


def test_a_busy_provider_is_asked_again_and_at_last_left_alone(cloud, store):
    cloud.script("submit", ["busy", "busy"])
    runner = executor(FakeDevice(cloud, can_find=False), store)
    runner.run(circuits(1), SHOTS)
    assert states(store) == ["unsent", "unsent", "done"]
    assert runner.budget.circuits == 1
    cloud.script("submit", ["busy"] * 9)
    with pytest.raises(NotTakenError, match=r"in 5 attempts \(429 too many requests\)"):
        runner.run(circuits(2), SHOTS)


@pytest.mark.parametrize(("fault", "jobs"), [("lost after", ["done"]), ("lost before", ["unsent", "done"])])
def test_an_answer_that_never_came_is_looked_up_where_the_provider_can_be_asked(cloud, store, fault, jobs):
    cloud.script("submit", [fault])
    runner = executor(FakeDevice(cloud), store)
    runner.run(circuits(1, 2), SHOTS)
    assert states(store) == jobs
    assert set(cloud.bill().values()) == {1} and runner.budget.circuits == 2


def test_a_job_that_is_not_listed_yet_is_not_sent_again(cloud, store):
    cloud.script("submit", ["lost after"])
    device = FakeDevice(cloud)
    find, looks = device.find, []
    device.find = lambda token: looks.append(token) or (find(token) if len(looks) > 3 else None)
    executor(device, store, patience=patience(settle=60.0)).run(circuits(1), SHOTS)
    assert states(store) == ["done"] and len(looks) == 4


def test_a_job_that_another_process_is_sending_is_left_to_it(cloud, store):
    device = FakeDevice(cloud)
    where = Where(device.identity(), SHOTS, "")
    with store.sole("qweft-1"):
        store.claim("qweft-1", device.name, circuits(1), circuits(1).keys(), where, "", None, lambda number: Charge())
        with pytest.raises(UnavailableError, match="nothing came"):
            executor(device, store).run(circuits(1), SHOTS)
        with pytest.raises(DeviceError, match="being sent by another process"):
            forget(store, "qweft-1")
        assert fetch(store)[0][1] == "another process is sending it"
    assert states(store) == ["sending"] and not cloud.jobs()
    executor(device, store).run(circuits(1), SHOTS)  # that process is gone
    assert states(store) == ["unsent", "done"]


@pytest.mark.parametrize("fault", ["lost after", "lost before"])
def test_elsewhere_the_user_is_told_to_look_it_up(cloud, store, fault):
    cloud.script("submit", [fault])
    runner = executor(FakeDevice(cloud, can_find=False), store)
    with pytest.raises(DeviceError, match=r"nobody knows .* \(connection reset by peer\)") as told:
        runner.run(circuits(1, 2), SHOTS)
    token = store.jobs()[0].token
    assert f"qweft jobs adopt {token} ID" in str(told.value) and f"qweft jobs forget {token}" in str(told.value)
    with pytest.raises(DeviceError, match="nobody knows"):  # until the user has said what became of it
        runner.run(circuits(1, 2), SHOTS)
    runner.run(circuits(3), SHOTS)  # other circuits are not held up
    if fault == "lost after":
        assert adopt(store, token, "job-1").state == "sent"
    else:
        with pytest.raises(DeviceError, match="no job job-7"):
            adopt(store, token, "job-7")
        assert forget(store, token).state == "forgotten"
    runner.run(circuits(1, 2), SHOTS)
    assert set(cloud.bill().values()) == {1}


def test_a_job_cannot_be_adopted_twice(cloud, store):
    cloud.script("submit", [None, "lost before"])
    runner = executor(FakeDevice(cloud, can_find=False), store)
    runner.run(circuits(1), SHOTS)
    with pytest.raises(DeviceError, match="nobody knows"):
        runner.run(circuits(2), SHOTS)
    with pytest.raises(DeviceError, match="job-1 is that of job qweft-"):
        adopt(store, store.jobs()[1].token, "job-1")


def test_circuits_that_did_not_come_are_asked_for_again_and_paid(cloud, store):
    cloud.script("job", ["partial"])
    runner = executor(FakeDevice(cloud), store)
    runner.run(circuits(0, 1, 2), SHOTS)
    assert [job.reason for job in store.jobs()] == ["1 of 3 circuits did not come", ""]
    assert sorted(cloud.bill().values()) == [1, 1, 2] and runner.budget.circuits == 4


def test_but_not_for_ever(cloud, store):
    device = FakeDevice(cloud)
    device.fetch = lambda job, sent, shots: {0: true_counts(sent, shots)[0]} if job == "job-1" else {}
    with pytest.raises(RefusedError, match="no result for 1 circuit after 3 jobs"):
        executor(device, store).run(circuits(0, 1), SHOTS)
    assert sorted(cloud.bill().values()) == [1, 3]


@pytest.mark.parametrize(
    ("fault", "words", "kept"),
    [
        ("wrong", "circuit 0: the counts add up to", 1),
        ("duplicates", "the answer has a circuit 2, and the job has 2", 0),
        ("failed", "error 1517: the chip was warm", 0),
        ("failed in part", "failed: the provider gives no reason", 1),
    ],
)
def test_a_job_that_went_wrong_is_a_sentence_before_it_is_paid_again(cloud, store, fault, words, kept):
    cloud.script("job", [fault])
    runner = executor(FakeDevice(cloud), store)
    with pytest.raises(RefusedError, match=words):
        runner.run(circuits(0, 1), SHOTS)
    assert states(store) == ["failed"]
    runner.run(circuits(0, 1), SHOTS)
    assert sorted(cloud.bill().values()) == ([1, 2] if kept else [2, 2])


def test_counts_that_came_through_damaged_are_asked_for_a_second_time(cloud, store):
    cloud.script("job", ["wrong once"])
    executor(FakeDevice(cloud), store).run(circuits(0, 1), SHOTS)
    assert states(store) == ["done"]


def test_a_lost_job_stays_in_the_ledger_until_the_user_gives_it_up(cloud, store):
    cloud.script("job", ["gone"])
    runner = executor(FakeDevice(cloud), store)
    for _ in range(2):  # an answer that may be a mistake costs nothing twice
        with pytest.raises(RefusedError, match=r"no job job-1; .* qweft jobs forget qweft-"):
            runner.run(circuits(0), SHOTS)
    assert states(store) == ["sent"] and len(cloud.jobs()) == 1
    forget(store, store.jobs()[0].token)
    runner.run(circuits(0), SHOTS)
    assert states(store) == ["forgotten", "done"]


def test_a_slow_queue_ends_the_run_and_not_the_job(cloud, store):
    cloud.script("job", ["slow"])
    runner = executor(FakeDevice(cloud), store, patience=patience(timeout=4.0))
    with pytest.raises(
        UnavailableError, match=r"nothing came for 4 s; open jobs live on \(1, 2 circuits .*qweft jobs fetch"
    ):
        runner.run(circuits(0, 1), SHOTS)
    while states(store) == ["sent"]:
        fetch(store)  # the next day
    assert states(store) == ["done"]
    runner.run(circuits(0, 1), SHOTS)
    assert set(cloud.bill().values()) == {1}


def test_a_silent_provider_is_waited_for(cloud, store):
    cloud.script("state", ["silent"] * 3)
    cloud.script("fetch", ["silent"])
    executor(FakeDevice(cloud), store).run(circuits(0), SHOTS)
    cloud.script("state", ["silent"] * 1000)
    with pytest.raises(UnavailableError, match=r"it does not answer \(504 gateway timeout"):
        executor(FakeDevice(cloud), store).run(circuits(1), SHOTS)


def test_a_job_that_was_cancelled(cloud, store):
    cloud.script("job", ["slow"])
    runner = executor(FakeDevice(cloud), store, patience=patience(timeout=0.0))
    cloud.script("state", ["silent"] * 2)
    with pytest.raises(UnavailableError):
        runner.run(circuits(0), SHOTS)
    assert cancel(store, store.jobs()[0].token).state == "cancelled"
    runner.run(circuits(0), SHOTS)
    assert states(store) == ["cancelled", "done"]


def test_a_new_calibration_is_a_new_measurement_unless_any_will_do(cloud, store):
    def run(**given):
        executor(FakeDevice(cloud), store, **given).run(circuits(0, 1), SHOTS)
        return len(cloud.jobs())

    assert run() == 1
    cloud.script("calibration", ["new"])
    assert executor(FakeDevice(cloud), store).estimate(circuits(0, 1, 2), SHOTS).other_calibrations == 2
    assert run(any_calibration=True) == 1
    assert run() == 2
    assert run() == 2


def test_a_job_that_is_fetched_under_another_calibration_serves_both(cloud, store):
    cloud.script("job", ["slow"])
    with pytest.raises(UnavailableError):
        executor(FakeDevice(cloud), store, patience=patience(timeout=0.0)).run(circuits(0), SHOTS)
    cloud.script("calibration", ["new"])
    for _ in range(2):
        executor(FakeDevice(cloud), store).run(circuits(0), SHOTS)
    assert len(cloud.jobs()) == 1


def test_an_interrupt_leaves_a_ledger_to_go_on_from(cloud, store):
    def interrupt(seconds):
        raise KeyboardInterrupt

    cloud.script("job", ["slow"])
    with pytest.raises(KeyboardInterrupt):
        executor(FakeDevice(cloud), store, patience=patience(sleep=interrupt)).run(circuits(0), SHOTS)
    executor(FakeDevice(cloud), store).run(circuits(0), SHOTS)
    assert states(store) == ["done"]


@pytest.mark.parametrize(
    ("caps", "words", "sent"),
    [
        (Caps(circuits=9), "to 12 circuits, and the cap is 9", 8),
        (Caps(money=9.0), r"to 12 USD, and the cap is 9", 8),
        (Caps(seconds=4.5), r"to 6.6 seconds, and the cap is 4.5", 8),
        (Caps(money=1.0), "to 4 USD, and the cap is 1", 0),
        (Caps(money=12.0, circuits=12, seconds=6.6), None, 12),
    ],
)
def test_a_cap_stops_before_the_job_that_would_break_it(cloud, store, caps, words, sent):
    runner = executor(FakeDevice(cloud), store, caps)
    if words is None:
        runner.run(circuits(*range(12)), SHOTS)
    else:
        with pytest.raises(OutOfBudgetError, match=words):
            runner.run(circuits(*range(12)), SHOTS)
    assert cloud.bill().total() == runner.budget.circuits == sent
    if sent == 8:  # what was sent is not lost
        executor(FakeDevice(cloud), store).run(circuits(*range(12)), SHOTS)
        assert set(cloud.bill().values()) == {1}


def test_one_circuit_and_one_shot_are_said_as_one(cloud, store):
    with pytest.raises(OutOfBudgetError, match="the next job of 1 circuit with 1 shot would"):
        executor(FakeDevice(cloud), store, Caps(money=0.1)).run(circuits(1), 1)
    cloud.script("submit", ["refuse"])
    with pytest.raises(RefusedError, match="refused a job of 1 circuit: "):
        executor(FakeDevice(cloud), store).run(circuits(1), 1)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"shots": None}, "needs a number of shots"),
        ({"shots": 10_001}, "at most 10,000 shots"),
        ({"qubits": 6}, "has 5 qubits"),
    ],
)
def test_what_the_device_cannot_do_is_said_before_anything_is_written(cloud, store, given, words):
    wanted = circuits(1)
    if "qubits" in given:
        wanted = type(wanted)(6, wanted.gates, wanted.angles)
    with pytest.raises(DeviceError, match=words):
        executor(FakeDevice(cloud), store).run(wanted, given.get("shots", SHOTS))
    assert not store.path.exists()


def test_a_full_disk_is_said_before_anything_is_sent(cloud, tmp_path, monkeypatch):
    connect = sqlite3.connect

    def small(*arguments, **options):
        connection = connect(*arguments, **options)
        connection.execute("PRAGMA max_page_count = 12")  # what SQLite says of a full disk, it says of a full file
        return connection

    monkeypatch.setattr("qweft.devices.jobs.database.sqlite3.connect", small)
    store = Store(tmp_path / "small")
    with pytest.raises(DeviceError, match=r"small/jobs.sqlite cannot be used \(database or disk is full\)"):
        for number in range(0, 4000, 4):
            executor(FakeDevice(cloud), store, any_calibration=True).run(circuits(*range(number, number + 4)), SHOTS)
    written = {job.token for job in store.jobs()}
    assert {token for _, token, _, _ in cloud.jobs()} == written and len(written) > 1


@pytest.fixture
def tiny_disk(tmp_path):
    folder = tmp_path / "tiny"
    folder.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)], capture_output=True)
    if mount.returncode:
        pytest.skip("only root may mount a small disk")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_is_really_full(cloud, tiny_disk):
    store = Store(tiny_disk / "store")
    with pytest.raises(DeviceError, match=r"cannot be (used|written)"):
        for number in range(0, 4000, 4):
            executor(FakeDevice(cloud), store, any_calibration=True).run(circuits(*range(number, number + 4)), SHOTS)
    assert len(cloud.jobs()) <= len(store.jobs())  # nothing was sent that is not written down


def test_a_folder_that_cannot_be_written_is_said_before_anything_is_sent(cloud, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DeviceError, match="choose another cache"):
        executor(FakeDevice(cloud), Store(tmp_path / "file" / "store")).run(circuits(0), SHOTS)
    assert not cloud.jobs()


def test_a_read_only_disk(cloud, tiny_disk):
    subprocess.run(["mount", "-o", "remount,ro", str(tiny_disk)], check=True)
    with pytest.raises(DeviceError, match="choose another cache"):
        executor(FakeDevice(cloud), Store(tiny_disk / "store")).run(circuits(0), SHOTS)
    assert not cloud.jobs()


def test_the_key_is_nowhere(cloud, store, caplog, capsys):
    caplog.set_level(logging.DEBUG)
    cloud.script("job", ["failed"])
    lines = []
    runner = executor(FakeDevice(cloud), store, tell=lines.append)
    with pytest.raises(RefusedError) as told:
        runner.run(circuits(0, 1), SHOTS)
    runner.run(circuits(0, 1), SHOTS)
    files = [path for path in store.folder.rglob("*") if path.is_file()]
    assert store.path in files
    everything = b"".join(path.read_bytes() for path in files).decode("latin-1")
    everything += caplog.text + "".join(capsys.readouterr()) + str(told.value) + "".join(lines) + repr(store.jobs())
    assert "job-1" in everything and API_KEY not in everything


def test_a_simulator_that_is_quick_leaves_no_file(store):
    device = make_device("shots", DeviceSettings(seed=3))
    found = Executor(device, store).run(circuits(1, 2, 1), SHOTS)
    np.testing.assert_array_equal(found.values, device.run(circuits(1, 2, 1), SHOTS).values)
    assert not store.path.exists()
    assert Executor(make_device("exact"), store).run(circuits(1), None).shots is None


class Slow(type(make_device("shots"))):
    keeps_results = True
    limits = FakeDevice.limits.__class__(circuits=2)

    def __init__(self):
        super().__init__("shots", "", DeviceSettings())
        self.ran = []

    def run(self, circuits, shots):
        self.ran.append(len(circuits))
        if len(self.ran) == 2:
            raise UnavailableError("come later")
        return super().run(circuits, shots)


def test_a_simulator_that_is_slow_is_asked_for_what_is_missing_only(store):
    device = Slow()
    runner = executor(device, store)
    found = runner.run(circuits(0, 1, 2, 3, 4, 0), SHOTS)
    assert device.ran == [2, 2, 2, 1]  # the second was asked again
    np.testing.assert_array_equal(found.values, super(Slow, device).run(circuits(0, 1, 2, 3, 4, 0), SHOTS).values)
    again = runner.run(circuits(4, 0, 7), SHOTS)
    assert device.ran[4:] == [1] and again.shots == SHOTS
    np.testing.assert_array_equal(again.values[:2], found.values[[4, 0]])


def test_frequencies_that_are_no_counts_are_not_kept(store):
    device = Slow()
    device.run = lambda circuits, shots: type(found)(found.values + 0.001, shots)
    found = super(Slow, device).run(circuits(0), SHOTS)
    with pytest.raises(DeviceError, match="no counts of 50 shots"):
        executor(device, store).run(circuits(0), SHOTS)
