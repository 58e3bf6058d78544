"""IBM's chips, through jobs of Qiskit Runtime's sampler."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC
from functools import cached_property
from typing import Any

from qweft.devices.bound import BoundCircuits
from qweft.devices.device import (
    JobState,
    Limits,
    NotTakenError,
    RefusedError,
    RemoteDevice,
    UnavailableError,
)
from qweft.internals.providers import instance_of

MEANINGS = (
    (r"^\S+ \S*(Account|NotAuthorized|InputValue|ProgramNotFound)", RefusedError),
    # while a job is sent, these are raised after it was accepted, on looking it up
    (r"^(?!sending)\S+ \S*(BackendNotFound|JobNotFound|JobFailure|JobMaxTimeout|InvalidState)", RefusedError),
    (r"429 Client|status code: 429", NotTakenError),
    (r"NewConnectionError|NameResolutionError|ConnectTimeoutError", NotTakenError),  # nothing has left this machine
    (r"\b4(?!08|25)\d\d Client|status code: 4(?!08|25)", RefusedError),  # these two do not mean a wrong request
    # what is not of the network concerns a circuit
    (r"^preparing (?!qiskit_ibm_|ibm_|requests|urllib3|json|socket|ssl|\S*(Connection|Timeout|OSError))", RefusedError),
)
"""What the exceptions of IBM's packages mean. After a 5xx status `find` tells whether a job was accepted."""


def saved_tokens() -> Iterator[str]:
    """Yield the tokens of IBM's saved accounts, if its package is imported."""
    runtime = sys.modules.get("qiskit_ibm_runtime")
    if runtime is None:
        return
    for account in runtime.QiskitRuntimeService.saved_accounts().values():
        if account.get("token"):
            yield str(account["token"])


class IBMDevice(RemoteDevice):
    """A chip of IBM. Circuits of one form are compiled once, and a job is one circuit with an array of angles.

    The account is that of QISKIT_IBM_TOKEN (and QISKIT_IBM_INSTANCE), or of `QiskitRuntimeService.save_account`.
    """

    can_find = True
    package = "qiskit_ibm_runtime"
    meanings = MEANINGS
    limits = Limits(circuits=1000, executions=10_000_000)  # 10 million: IBM's limit of a sampler job

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._compiled: dict[Any, Any] = {}  # by form of the circuits
        self._calibration_date: Any = None

    def calibration(self) -> str:
        """Return when the properties were last updated, in UTC; circuits are compiled anew after each calibration."""
        with self.translate_errors():
            date = self._backend.properties(refresh=True).last_update_date
            if date != self._calibration_date:
                self._backend.refresh()
                self._calibration_date = date
                self._compiled.clear()
            return str(date.astimezone(UTC).isoformat())

    def check(self, shots: int | None) -> None:
        with self.translate_errors():
            status = self._backend.status()
        if not status.operational:
            raise UnavailableError(f"device {self.name} is switched off ({status.status_msg}); try again later")

    def submit(self, circuits: BoundCircuits, shots: int, token: str) -> str:
        from qiskit.primitives.containers.sampler_pub import SamplerPub

        from qweft.devices.providers.qiskit.compilation import compile_form, parameter_values

        with self.translate_errors("preparing"):
            if circuits.form not in self._compiled:
                self._compiled[circuits.form] = compile_form(self._backend, circuits)
            compiled = self._compiled[circuits.form]
            self._backend.check_faulty(compiled)
            pub = SamplerPub.coerce((compiled, parameter_values(compiled, circuits.angles)), shots)
            sampler = self.library.Sampler(mode=self._backend, options={"environment": {"job_tags": [token]}})
        with self.translate_errors("sending"):
            return str(sampler.run([pub]).job_id())

    def state(self, job: str) -> JobState:
        with self.translate_errors():
            return JobState[str(self._service.job(job).status())]

    def fetch(self, job: str, circuits: BoundCircuits, shots: int) -> dict[int, dict[str, int]]:
        """Return the counts of every circuit. Qiskit's bit strings end with qubit 0, so they are reversed."""
        with self.translate_errors():
            outcomes = self._service.job(job).result()[0].data.meas
            counts_of_circuits = [outcomes.get_counts(index) for index in range(outcomes.size)]
        return {index: _qubit_0_first(counts) for index, counts in enumerate(counts_of_circuits)}

    def find(self, token: str) -> str | None:
        """Return the id of the job with this tag, from any instance: IBM's service searches only the one used last."""
        with self.translate_errors():
            home = instance_of(self._backend)
            instances = {str(instance["crn"]) for instance in self._service.instances()}
        for instance in {home, *instances}:
            try:
                with self.translate_errors():
                    jobs = self._service.jobs(job_tags=[token], limit=1, instance=instance)
                    ids = [str(job.job_id()) for job in jobs]
            except RefusedError:
                if instance == home:
                    raise
                continue  # an instance without access took no job
            if ids:
                return ids[0]
        return None

    def cancel(self, job: str) -> None:
        with self.translate_errors():
            self._service.job(job).cancel()

    @cached_property
    def _service(self) -> Any:
        return self.library.QiskitRuntimeService()

    @cached_property
    def _backend(self) -> Any:
        return self._service.backend(self.target)


def _qubit_0_first(counts: dict[str, int]) -> dict[str, int]:
    """Return counts by reversed bit string."""
    return {bits[::-1]: count for bits, count in counts.items()}
