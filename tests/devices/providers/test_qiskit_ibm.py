"""IBM's chips against a stand-in service: account, jobs and refusals are played, sampler and compiler are IBM's own.

Nothing here was run on a chip.
"""

import datetime
import json
import types

import numpy as np
import pytest

from qweft.devices import (
    DeviceSettings,
    Frequencies,
    JobState,
    NotTakenError,
    RefusedError,
    RemoteDevice,
    UnavailableError,
    make_device,
)
from qweft.devices.outcomes import from_counts
from qweft.devices.providers.qiskit.simulators import FakeBackendDevice
from tests.devices.providers.forms import circuits
from tests.devices.providers.scores import check_scatter

runtime = pytest.importorskip("qiskit_ibm_runtime")
aer = pytest.importorskip("qiskit_aer")
fakes = pytest.importorskip("qiskit_ibm_runtime.fake_provider")
exceptions = pytest.importorskip("qiskit_ibm_runtime.exceptions")
ApiException = pytest.importorskip("ibm_cloud_sdk_core").ApiException
RequestsApiError = pytest.importorskip("qiskit_ibm_runtime.api.exceptions").RequestsApiError
TOKEN = "hushHUSH-0123456789"


class Job:
    """A job of the sampler's local mode, with the states of a real one."""

    def __init__(self, number, inner, tags):
        self.number, self.tags, self.said = number, tags, "QUEUED"
        self.result = inner and inner.result

    def job_id(self):
        return f"job-{self.number}"

    def status(self):
        return self.said

    def cancel(self):
        if self.said == "DONE":
            raise exceptions.RuntimeInvalidStateError("Job cannot be cancelled: 409 Client Error")
        self.said = "CANCELLED"


class Service:
    """What is used of QiskitRuntimeService, with one backend."""

    def __init__(self):
        self.sent, self.failure = {}, None
        self.date = datetime.datetime(2026, 11, 25, 6, 30, tzinfo=datetime.UTC)

    def _fail(self):
        if self.failure is not None:
            raise self.failure

    def backend(self, name):
        self._fail()
        backend = aer.AerSimulator.from_backend(fakes.FakeManilaV2(), seed_simulator=1)
        backend.status = lambda: types.SimpleNamespace(operational=True, status_msg="active")
        backend.properties = lambda refresh=False: types.SimpleNamespace(last_update_date=self.date)
        backend.check_faulty = lambda circuit: None
        backend.refresh = lambda: None
        backend._instance = "crn:home"
        return backend

    def instances(self):
        return [{"crn": "crn:home"}]

    def job(self, number):
        self._fail()
        if number not in self.sent:
            raise exceptions.RuntimeJobNotFound(f"Job not found: {number}")
        return self.sent[number]

    def jobs(self, job_tags, limit, instance):
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


def test_calibration_is_when_the_properties_were_updated(service):
    """In universal time: IBM's package gives the machine's own."""
    service.date = service.date.astimezone(datetime.timezone(datetime.timedelta(hours=8)))
    assert make_device("qiskit:ibm_manila").calibration() == "2026-11-25T06:30:00+00:00"


def ran(words):
    return exceptions.IBMRuntimeError(f"Failed to run program: '{words}'")


@pytest.mark.parametrize(
    ("failure", "sending"),
    [
        (exceptions.IBMNotAuthorizedError(f"401: bad token {TOKEN}"), RefusedError),
        (ran("400 Client Error: x"), RefusedError),
        (ran("408 Client Error: x"), UnavailableError),
        (ran("429 Client Error: x"), NotTakenError),
        (ran("503 Server Error: x"), UnavailableError),
        (ran("(Caused by NewConnectionError(x))"), NotTakenError),
        (ran("(Caused by NameResolutionError(x))"), NotTakenError),
        (ConnectionError("Connection aborted"), UnavailableError),
        (TimeoutError(), UnavailableError),
        (ValueError("what nobody has seen"), UnavailableError),
        (KeyError("id"), UnavailableError),
        (json.JSONDecodeError("no JSON", "<html>", 0), UnavailableError),
        (ApiException(503, message="down"), UnavailableError),
        (ApiException(429, message="slow down"), NotTakenError),
        (ApiException(403, message="no"), RefusedError),
    ],
)
def test_what_ibm_says_is_sorted(service, failure, sending):
    """Only what was certainly not taken may be sent again, and only what is known for a refusal is one."""
    asking = UnavailableError if sending is NotTakenError else sending
    device = make_device("qiskit:ibm_manila")
    device.submit(circuits(1), 10, "t")
    service.failure = failure
    for call, kind in [
        (lambda: device.submit(circuits(1), 10, "t"), sending),
        (lambda: device.state("job-0"), asking),
        (lambda: device.find("t"), asking),
    ]:
        with pytest.raises(kind) as caught:
            call()
        assert type(caught.value) is kind
        assert TOKEN not in str(caught.value)


class Client:
    """What IBM's own service asks in one instance."""

    def __init__(self, name, tags):
        self._instance, self.tags = name, tags

    def jobs_get(self, job_tags, **_):
        if self.tags is None:
            raise RequestsApiError("403 Client Error: not yours", 403)
        jobs = [{"id": f"job of {tag}"} for tag in self.tags if [tag] == job_tags]
        return {"jobs": jobs, "count": len(jobs)}


def test_a_job_is_looked_for_in_every_instance():
    """IBM's own service asks the instance that was used last; a job that is not found there is paid again."""
    tags = {"crn:home": ["qweft-1"], "crn:shut": None, "crn:old": ["qweft-2"], "crn:other": []}
    clients = {name: Client(name, held) for name, held in tags.items()}
    service = object.__new__(runtime.QiskitRuntimeService)
    service._active_api_client, service._api_clients = clients["crn:other"], {**clients}
    service._api_clients.pop("crn:shut")
    service._create_new_cloud_api_client = clients.get
    service._all_instances = [{"crn": name} for name in tags]
    service._decode_job = lambda found: types.SimpleNamespace(job_id=lambda: found["id"])
    device = make_device("qiskit:ibm_manila")
    device.__dict__.update(_service=service, _backend=types.SimpleNamespace(_instance="crn:home"))
    jobs = [device.find(f"qweft-{number}") for number in (1, 2, 3)]
    assert jobs == ["job of qweft-1", "job of qweft-2", None]
    clients["crn:home"].tags = None
    with pytest.raises(RefusedError, match="not yours"):
        device.find("qweft-3")
