"""IBM's chips against a stand-in service: account, jobs and refusals are played, sampler and compiler are IBM's own.

Nothing here was run on a chip.
"""

import datetime
import types

import numpy as np
import pytest

from qweft.devices import (
    DeviceError,
    DeviceSettings,
    Frequencies,
    JobState,
    RefusedError,
    RemoteDevice,
    UnavailableError,
    make_device,
)
from qweft.devices.frequencies import from_counts
from qweft.devices.providers.qiskit_fake import FakeBackendDevice
from tests.devices.providers.forms import circuits
from tests.devices.providers.scores import check_scatter

runtime = pytest.importorskip("qiskit_ibm_runtime")
aer = pytest.importorskip("qiskit_aer")
fakes = pytest.importorskip("qiskit_ibm_runtime.fake_provider")
exceptions = pytest.importorskip("qiskit_ibm_runtime.exceptions")
TOKEN = "hushHUSH-0123456789"


class Job:
    """A job of the sampler's local mode, with the states of a real one."""

    def __init__(self, number, inner, tags):
        self.number, self.inner, self.tags, self.said = number, inner, tags, "QUEUED"

    def job_id(self):
        return f"job-{self.number}"

    def status(self):
        return self.said

    def result(self):
        return self.inner.result()

    def cancel(self):
        if self.said == "DONE":
            raise exceptions.RuntimeInvalidStateError("Job cannot be cancelled: 409 Client Error")
        self.said = "CANCELLED"


class Service:
    """What is used of QiskitRuntimeService, with one backend."""

    def __init__(self):
        self.sent, self.failure = {}, None

    def _fail(self):
        if self.failure is not None:
            raise self.failure

    def backend(self, name):
        self._fail()
        if name != "ibm_manila":
            from qiskit.providers.exceptions import QiskitBackendNotFoundError

            raise QiskitBackendNotFoundError("No backend matches the criteria.")
        backend = aer.AerSimulator.from_backend(fakes.FakeManilaV2(), seed_simulator=1)
        backend.status = lambda: types.SimpleNamespace(operational=True, status_msg="active")
        date = datetime.datetime(2026, 11, 25, 6, 30, tzinfo=datetime.UTC)
        backend.properties = lambda refresh=False: types.SimpleNamespace(last_update_date=date)
        return backend

    def backends(self):
        return [types.SimpleNamespace(name="ibm_manila"), types.SimpleNamespace(name="ibm_torino")]

    def job(self, number):
        self._fail()
        if number not in self.sent:
            raise exceptions.RuntimeJobNotFound(f"Job not found: {number}")
        return self.sent[number]

    def jobs(self, job_tags, limit):
        self._fail()
        return [job for job in self.sent.values() if set(job_tags) <= set(job.tags)][:limit]


@pytest.fixture
def service(monkeypatch):
    """The stand-in in the place of IBM's service; the sampler runs IBM's local mode and hands its job over."""
    service = Service()

    def make():
        service._fail()
        return service

    make.saved_accounts = lambda: {"default": {"token": TOKEN}}

    class Sampler(runtime.Sampler):
        def run(self, pubs, *, shots=None):
            service._fail()
            tags = self.options.environment.job_tags
            job = Job(len(service.sent), super().run(pubs, shots=shots), tags)
            service.sent[job.job_id()] = job
            return job

    monkeypatch.setattr(runtime, "QiskitRuntimeService", make)
    monkeypatch.setattr(runtime, "Sampler", Sampler)
    return service


def test_a_job_from_sending_to_counts(service):
    device, some = make_device("qiskit:ibm_manila"), circuits(20)
    assert isinstance(device, RemoteDevice) and device.can_find
    device.check(300)
    number = device.submit(some, 300, "qweft-17")
    assert device.state(number) is JobState.QUEUED
    assert device.find("qweft-17") == number and device.find("qweft-18") is None
    service.sent[number].said = "DONE"
    again = make_device("qiskit:ibm_manila")  # the next day
    assert again.state(number) is JobState.DONE
    counts = again.fetch(number, some, 300)
    rows = np.stack([from_counts(counts[place], 3, 300) for place in range(20)])
    # the stand-in has the noise of the chip's record
    expected = FakeBackendDevice("fake", service.backend("ibm_manila"), DeviceSettings()).run(some, None)
    check_scatter(Frequencies(rows, 300), expected.expectations())


@pytest.mark.parametrize(("said", "state"), [("RUNNING", "RUNNING"), ("ERROR", "FAILED"), ("CANCELLED", "CANCELLED")])
def test_states(service, said, state):
    device = make_device("qiskit:ibm_manila")
    service.sent["job-0"] = Job(0, None, [])
    service.sent["job-0"].said = said
    assert device.state("job-0") is JobState[state]


def test_cancelling_what_is_over_changes_nothing(service):
    device = make_device("qiskit:ibm_manila")
    service.sent = {"job-0": Job(0, None, []), "job-1": Job(1, None, [])}
    service.sent["job-0"].said = "DONE"
    device.cancel("job-0")
    device.cancel("job-1")
    assert [device.state(job) for job in service.sent] == [JobState.DONE, JobState.CANCELLED]


def test_calibration_is_when_the_properties_were_updated(service):
    assert make_device("qiskit:ibm_manila").calibration() == "2026-11-25T06:30:00+00:00"


@pytest.mark.parametrize(
    ("failure", "kind", "words"),
    [
        (exceptions.IBMNotAuthorizedError(f"401: bad token {TOKEN}"), RefusedError, "bad token .credential removed."),
        (exceptions.IBMRuntimeError("Failed to run program: '400 Client Error: x'"), RefusedError, "400 Client"),
        (exceptions.IBMRuntimeError("Failed to run program: '429 Client Error: x'"), UnavailableError, "429 Client"),
        (exceptions.IBMRuntimeError("Failed to run program: '503 Server Error: x'"), UnavailableError, "503 Server"),
        (ConnectionError("Max retries exceeded"), UnavailableError, "Max retries"),
        (TimeoutError(), UnavailableError, "TimeoutError"),
        (ValueError("a faulty circuit"), RefusedError, "a faulty circuit"),
    ],
)
def test_what_ibm_says_is_sorted(service, failure, kind, words):
    device = make_device("qiskit:ibm_manila")
    service.failure = failure
    for call in (lambda: device.submit(circuits(1), 10, "t"), lambda: device.state("job-0"), lambda: device.find("t")):
        with pytest.raises(kind, match=words) as caught:
            call()
        assert TOKEN not in str(caught.value)


def test_a_job_that_is_not_known(service):
    with pytest.raises(RefusedError, match="Job not found: job-9"):
        make_device("qiskit:ibm_manila").state("job-9")


def test_a_failed_job_says_why(service):
    job = Job(0, types.SimpleNamespace(result=lambda: _raise()), [])
    service.sent["job-0"] = job

    def _raise():
        raise exceptions.RuntimeJobFailureError("Unable to retrieve job result. Error code 1517; too long")

    with pytest.raises(RefusedError, match="Error code 1517"):
        make_device("qiskit:ibm_manila").fetch("job-0", circuits(1), 10)


@pytest.mark.parametrize(
    ("name", "shots", "words"),
    [
        ("qiskit:ibm_torinoo", 100, "this account has no backend ibm_torinoo; it has ibm_torino"),
        ("qiskit:ibm_manila", None, "needs a number of shots from 1 to 100000, got None"),
        ("qiskit:ibm_manila", 10**6, "from 1 to 100000, got 1000000"),
    ],
)
def test_it_is_checked_before_anything_is_sent(service, name, shots, words):
    with pytest.raises(DeviceError, match=words):
        make_device(name).check(shots)
    assert not service.sent


def test_without_an_account(monkeypatch, tmp_path):
    """IBM's own service, and no account on this machine."""
    for variable in ("QISKIT_IBM_TOKEN", "QISKIT_IBM_CHANNEL"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr("qiskit_ibm_runtime.accounts.management._DEFAULT_ACCOUNT_CONFIG_JSON_FILE", tmp_path / "none")
    with pytest.raises(RefusedError, match="there is no IBM Quantum account; set QISKIT_IBM_TOKEN"):
        make_device("qiskit:ibm_manila").check(100)


def test_no_noise_model_for_a_chip():
    with pytest.raises(DeviceError, match="has noise of its own"):
        make_device("qiskit:ibm_manila", DeviceSettings(noise="paper"))
