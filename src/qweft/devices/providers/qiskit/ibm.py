"""IBM's chips, through jobs of Qiskit Runtime's sampler."""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import UTC
from functools import cached_property
from typing import Any

from qweft.devices.bound import BoundCircuits
from qweft.devices.device import (
    DeviceError,
    JobState,
    Limits,
    NotTakenError,
    RefusedError,
    RemoteDevice,
    Step,
    UnavailableError,
    told,
)
from qweft.devices.providers.qiskit.simulators import compile_for, values_of
from qweft.errors import require
from qweft.internals.providers import instance_of

REFUSALS = ("Account", "NotAuthorized", "InputValue", "ProgramNotFound")
"""Parts of names of exceptions for which a retry does not help, even while a job is sent."""
NOT_THERE = ("BackendNotFound", "JobNotFound", "JobFailure", "JobMaxTimeout", "InvalidState")
"""The same for questions only. While a job is sent, these are raised after it was accepted, on looking it up."""
NOT_REACHED = ("NewConnectionError", "NameResolutionError", "ConnectTimeoutError")
"""Parts of urllib3's messages when nothing has left this machine."""
OF_THE_NETWORK = ("qiskit_ibm_runtime", "ibm_", "requests", "urllib3", "json")
"""Packages whose exceptions concern the request to IBM, not a circuit."""


def saved_tokens() -> Iterator[str]:
    """Yield the tokens of IBM's saved accounts, if its package is imported."""
    runtime = sys.modules.get("qiskit_ibm_runtime")
    if runtime is not None:
        for account in runtime.QiskitRuntimeService.saved_accounts().values():
            if account.get("token"):
                yield str(account["token"])


def sort(error: Exception, step: Step) -> type[DeviceError]:
    """Return what an exception of IBM's package means; after a 5xx status `find` tells whether a job was accepted."""
    kind, text = type(error).__name__, str(error)
    if any(mark in kind for mark in (REFUSALS if step == "sending" else REFUSALS + NOT_THERE)):
        return RefusedError
    code = getattr(error, "status_code", None) or 0
    if not code and (words := re.search(r"\b([45]\d\d) (?:Client|Server) Error", text)):
        code = int(words[1])
    if code == 429 or any(mark in text for mark in NOT_REACHED):
        return NotTakenError
    if 400 <= code < 500 and code not in (408, 425):  # these two do not mean that the request is wrong
        return RefusedError
    about_a_circuit = not isinstance(error, OSError) and not type(error).__module__.startswith(OF_THE_NETWORK)
    return RefusedError if step == "preparing" and about_a_circuit else UnavailableError


STATES = {
    "INITIALIZING": JobState.QUEUED,
    "QUEUED": JobState.QUEUED,
    "RUNNING": JobState.RUNNING,
    "DONE": JobState.DONE,
    "ERROR": JobState.FAILED,
    "CANCELLED": JobState.CANCELLED,
}


class IBMDevice(RemoteDevice):
    """A chip of IBM. Circuits of one form are compiled once, and a job is one circuit with an array of angles.

    The account is that of QISKIT_IBM_TOKEN (and QISKIT_IBM_INSTANCE), or of `QiskitRuntimeService.save_account`.
    """

    can_find = True
    limits = Limits(circuits=1000, executions=10_000_000)  # 10 million: IBM's limit of a sampler job

    def __init__(self, name: str, target: str) -> None:
        super().__init__(name)
        self._runtime = require("qiskit_ibm_runtime", "qiskit", f"device {name}")
        self._target = target
        self._forms: dict[Any, Any] = {}
        self._calibrated: Any = None

    def calibration(self) -> str:
        """Return when the properties were last updated, in UTC; circuits are compiled anew after each calibration."""
        with self._told():
            properties = self._backend.properties(refresh=True)
            if properties is None:
                return ""
            if properties.last_update_date != self._calibrated:
                self._backend.refresh()
                self._calibrated = self._backend.properties().last_update_date
                self._forms.clear()
            return str(self._calibrated.astimezone(UTC).isoformat())

    def check(self, shots: int | None) -> None:
        with self._told():
            status = self._backend.status()
        if not status.operational:
            raise UnavailableError(f"device {self.name} is switched off: {status.status_msg}")

    def submit(self, circuits: BoundCircuits, shots: int, token: str) -> str:
        from qiskit.primitives.containers.sampler_pub import SamplerPub

        with self._told("preparing"):
            if circuits.form not in self._forms:
                self._forms[circuits.form] = compile_for(self._backend, circuits)
            compiled = self._forms[circuits.form]
            self._backend.check_faulty(compiled)
            pub = SamplerPub.coerce((compiled, values_of(compiled, circuits.angles)), shots)
            with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
                # the present class of this name is deprecated; IBM will replace it and keep the name
                sampler = self._runtime.Sampler(mode=self._backend, options={"environment": {"job_tags": [token]}})
        with self._told("sending"):
            return str(sampler.run([pub]).job_id())

    def state(self, job: str) -> JobState:
        with self._told():
            return STATES[str(self._service.job(job).status())]

    def fetch(self, job: str, circuits: BoundCircuits, shots: int) -> dict[int, dict[str, int]]:
        """Return the counts of every circuit. Qiskit's bit strings end with qubit 0, so they are reversed."""
        with self._told():
            bits = self._service.job(job).result()[0].data.meas
            if bits.shape != (len(circuits),):
                raise RefusedError(
                    f"device {self.name}: job {job} has results of shape {bits.shape} for {len(circuits)} circuits"
                )
            places = range(len(circuits))
            return {place: {key[::-1]: n for key, n in bits.get_counts(place).items()} for place in places}

    def find(self, token: str) -> str | None:
        """Return the id of the job with this tag, from any instance: IBM's service searches only the one used last."""
        with self._told():
            home = instance_of(self._backend)
            instances = [str(instance["crn"]) for instance in self._service.instances()]
        for instance in [home, *(other for other in instances if other != home)]:
            try:
                with self._told():
                    jobs = self._service.jobs(job_tags=[token], limit=1, instance=instance)
                    if jobs:
                        return str(jobs[0].job_id())
            except RefusedError:
                if instance == home:
                    raise  # elsewhere there is no access, so no job was sent there
        return None

    def cancel(self, job: str) -> None:
        with self._told():
            self._service.job(job).cancel()

    @cached_property
    def _service(self) -> Any:
        try:
            return self._runtime.QiskitRuntimeService()
        except Exception as error:
            if "AccountNotFound" not in type(error).__name__:
                raise
            raise RefusedError(
                f"device {self.name}: there is no IBM Quantum account; set QISKIT_IBM_TOKEN, or save one with "
                "QiskitRuntimeService.save_account(token=...)"
            ) from None

    @cached_property
    def _backend(self) -> Any:
        return self._service.backend(self._target)

    def _told(self, step: Step = "asking") -> AbstractContextManager[None]:
        return told(self.name, sort, step)
