"""One executor with the fake provider, fault by fault."""

import logging

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
from qweft.devices.jobs.manage import adopt, fetch, forget
from qweft.devices.jobs.store import Job, Store, Where
from qweft.devices.outcomes import from_counts
from tests.devices.jobs.circuits import SHOTS, circuits, executor, retry
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
    assert runner.budget.spent == 7
    again = executor(FakeDevice(cloud), store)
    np.testing.assert_array_equal(again.run(wanted, SHOTS).values, found.values)
    assert again.budget.spent == 0 and len(cloud.jobs()) == 2
    again.run(wanted, SHOTS + 1)  # other shots are another measurement
    assert len(cloud.jobs()) == 4


def test_a_refused_job_stops_the_run_and_keeps_what_came(cloud, store):
    cloud.script("submit", [None, "refuse"])
    runner = executor(FakeDevice(cloud), store, jobs_at_once=1)
    with pytest.raises(RefusedError, match=r"did not take a job of 2 circuits: your plan does not include this chip"):
        runner.run(circuits(*range(6)), SHOTS)
    assert states(store) == ["done", "refused"]
    assert runner.budget.spent == 4
    runner.run(circuits(*range(6)), SHOTS)
    assert set(cloud.bill().values()) == {1}


@pytest.mark.parametrize(("fault", "jobs"), [("lost after", ["done"]), ("lost before", ["unsent", "done"])])
def test_an_answer_that_never_came_is_looked_up_where_the_provider_can_be_asked(cloud, store, fault, jobs):
    cloud.script("submit", [fault])
    runner = executor(FakeDevice(cloud), store)
    runner.run(circuits(1, 2), SHOTS)
    assert states(store) == jobs
    assert set(cloud.bill().values()) == {1} and runner.budget.spent == 2


def test_a_job_that_another_process_is_sending_is_left_to_it(cloud, store):
    device = FakeDevice(cloud)
    where = Where(device.identity(), SHOTS, "")
    with store.sole("qweft-1"):
        job = Job("qweft-1", device.name, where.device, "", SHOTS)
        store.claim(job, circuits(1), where, None, lambda count: None)
        with pytest.raises(UnavailableError, match="nothing came"):
            executor(device, store).run(circuits(1), SHOTS)
        with pytest.raises(DeviceError, match="being sent by another process"):
            forget(store, "qweft-1")
        assert fetch(store)[0][1] == "job qweft-1 is being sent by another process; wait for it"
    assert states(store) == ["sending"] and not cloud.jobs()
    executor(device, store).run(circuits(1), SHOTS)  # that process is gone
    assert states(store) == ["unsent", "done"]


@pytest.mark.parametrize("fault", ["lost after", "lost before"])
def test_elsewhere_the_user_is_told_to_look_it_up(cloud, store, fault):
    cloud.script("submit", [fault])
    runner = executor(FakeDevice(cloud, can_find=False), store)
    with pytest.raises(DeviceError, match=r"unknown whether job .* was accepted \(connection reset by peer\)") as told:
        runner.run(circuits(1, 2), SHOTS)
    token = store.jobs()[0].token
    assert f"qweft jobs adopt {token} ID" in str(told.value) and f"qweft jobs forget {token}" in str(told.value)
    with pytest.raises(DeviceError, match="unknown whether job"):  # until the user has said what became of it
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


@pytest.mark.parametrize(
    ("fault", "words", "kept"),
    [
        ("wrong", "circuit 0", 1),
        ("duplicates", "circuit 2", 0),
        ("failed", "error 1517", 0),
        ("failed in part", "no reason", 1),
        ("partial", "1 of 2 circuits did not come", 1),
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


def test_a_new_calibration_is_a_new_measurement_unless_any_will_do(cloud, store):
    for any_calibration, is_new, jobs in ((False, False, 1), (True, True, 1), (False, False, 2), (False, False, 2)):
        cloud.script("calibration", ["new"] * is_new)
        executor(FakeDevice(cloud), store, any_calibration=any_calibration).run(circuits(0, 1), SHOTS)
        assert len(cloud.jobs()) == jobs


def test_a_cap_stops_before_the_job_that_would_break_it(cloud, store):
    runner = executor(FakeDevice(cloud), store, max_circuits=9)
    with pytest.raises(OutOfBudgetError, match="to 12, more than the cap of 9"):
        runner.run(circuits(*range(12)), SHOTS)
    assert cloud.bill().total() == runner.budget.spent == 8
    # what was sent is not lost: four circuits are left
    executor(FakeDevice(cloud), store, max_circuits=4).run(circuits(*range(12)), SHOTS)
    assert set(cloud.bill().values()) == {1}


@pytest.mark.parametrize(("qubits", "shots"), [(2, None), (6, SHOTS)])
def test_what_the_device_cannot_do_is_said_before_anything_is_written(cloud, store, qubits, shots):
    wanted = circuits(1)
    with pytest.raises(DeviceError, match=r"shots|qubits"):
        executor(FakeDevice(cloud), store).run(type(wanted)(qubits, wanted.gates, wanted.angles), shots)
    assert not store.path.exists()


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


class Slow(type(make_device("shots"))):
    keeps_results = True
    limits = FakeDevice.limits.__class__(circuits=2)

    def __init__(self, error=UnavailableError):
        super().__init__("shots", DeviceSettings())
        self.ran, self.error = [], error

    def run(self, circuits, shots):
        self.ran.append(len(circuits))
        if len(self.ran) == 2:
            raise self.error("come later")
        return super().run(circuits, shots)


def test_a_simulator_that_is_slow_is_asked_for_what_is_missing_only(store):
    device = Slow(NotTakenError)
    runner = executor(device, store)
    found = runner.run(circuits(0, 1, 2, 3, 4, 0), SHOTS)
    assert device.ran == [2, 2, 2, 1]  # the second was asked again
    assert runner.budget.spent == 5
    np.testing.assert_array_equal(found.values, super(Slow, device).run(circuits(0, 1, 2, 3, 4, 0), SHOTS).values)
    again = runner.run(circuits(4, 0, 7), SHOTS)
    assert device.ran[4:] == [1] and again.shots == SHOTS
    np.testing.assert_array_equal(again.values[:2], found.values[[4, 0]])


def test_a_device_that_may_have_billed_what_it_did_not_answer_is_not_asked_again(store):
    device = Slow()
    device.may_bill = True
    runner = executor(device, store)
    with pytest.raises(DeviceError, match=r"unknown whether shots measured and billed these 2 circuits"):
        runner.run(circuits(0, 1, 2, 3, 4), SHOTS)
    assert device.ran == [2, 2] and runner.budget.spent == 4


def test_every_attempt_of_a_device_that_costs_nothing_counts_as_circuits(store):
    device = Slow()
    with pytest.raises(OutOfBudgetError, match="to 7, more than the cap of 6"):
        executor(device, store, max_circuits=6).run(circuits(0, 1, 2, 3, 4), SHOTS)
    assert device.ran == [2, 2, 2]


def test_what_is_open_comes_although_nothing_can_be_sent(cloud, store):
    cloud.script("job", ["slow"])
    device = FakeDevice(cloud)
    with pytest.raises(UnavailableError):
        executor(device, store, retry=retry(timeout=0.0)).run(circuits(0), SHOTS)

    def check(shots):
        raise UnavailableError("switched off")

    device.check = check
    with pytest.raises(UnavailableError, match="switched off"):
        executor(device, store).run(circuits(0, 1), SHOTS)
    assert states(store) == ["done"]


def test_a_calibration_during_a_run_is_seen(cloud, store):
    device, day = FakeDevice(cloud, most=1), ["monday"]
    device.calibration = lambda: day[0]
    submit = device.submit

    def and_calibrate(sent, shots, token):
        number = submit(sent, shots, token)
        day[0] = {"monday": "tuesday", "tuesday": "friday"}.get(day[0], day[0])
        return number

    device.submit = and_calibrate
    executor(device, store, jobs_at_once=1).run(circuits(0, 1, 2), SHOTS)
    assert [job.calibration for job in store.jobs()] == ["monday", "tuesday", "friday"]
    assert set(cloud.bill().values()) == {1}
    for calibration, numbers in (("monday", [0]), ("tuesday", [0, 1]), ("friday", [1, 2])):
        found = store.results(circuits(0, 1, 2).keys(), Where(device.identity(), SHOTS, calibration))
        assert set(found) == set(circuits(*numbers).keys())
