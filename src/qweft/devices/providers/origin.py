"""Origin Quantum's devices through pyqpanda3: its local simulator and its cloud."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import numpy as np

from qweft.circuit.formats.origin import program
from qweft.devices.bound import BoundCircuits
from qweft.devices.device import (
    Device,
    DeviceSettings,
    Entry,
    JobState,
    Limits,
    NotTakenError,
    Provider,
    RefusedError,
    RemoteDevice,
    Step,
    UnavailableError,
    one_line,
)
from qweft.devices.simulators import Simulator

MEANINGS = (
    (r"failed with status 429", NotTakenError),
    (r"failed with status 4(?!08|25)", RefusedError),
    (r"failed with status", UnavailableError),
    (r"curl_.*(failed to|could ?n[o']t) (connect|resolve)", NotTakenError),  # nothing has left this machine
    (r"curl_|response|time ?out|timed out|超时", UnavailableError),  # or the cloud itself does not know
    (r"busy|maintenance|too many|later|offline|繁忙|维护|稍后", NotTakenError),
    (
        r"unknown error\.|insufficient|permission|not (allowed|support|exist|found)|denied|unauthorized|forbidden|"
        r"expired|exceed|quota|balance|illegal|invalid (api|key|token|param)|[^\x00-\x7f]",
        RefusedError,
    ),
)
"""Only known refusals are refusals, as others may be paid for. "unknown error." is pyqpanda3's text for one without a
reason; its own messages are English, and the cloud's may be Chinese."""


class OriginCPUDevice(Simulator):
    """The local simulator. It runs one circuit at a time, about 1 ms each, because pyqpanda3 has no batches here."""

    package = "pyqpanda3.core"

    def probabilities(self, circuits: BoundCircuits) -> np.ndarray:
        order = list(range(circuits.qubits))[::-1]  # pyqpanda3's qubit 0 is the least significant bit
        machine, rows = self.library.CPUQVM(), []
        for row in circuits.angles:
            machine.run(program(circuits.qubits, circuits.gates, row, circuits.barriers, measured=False), 1)
            rows.append(machine.result().get_prob_list(order))
        return np.array(rows)


class OriginCloudDevice(RemoteDevice):
    """A device of Origin Quantum's cloud.

    The environment variable ORIGIN_API_KEY contains the key. ORIGIN_API_URL is needed only for a private deployment.
    For keys of the old kind, pyqpanda3's default address is plain HTTP.

    The cloud maps circuits to the chip and compiles them, without optimization if a circuit has barriers. The cloud's
    own readout correction ("amend") is off, so counts are raw.
    """

    limits = Limits(circuits=200)  # on record for the paper and in pyqpanda3's documentation
    meanings = MEANINGS
    package = "pyqpanda3.qcloud"

    def calibration(self) -> str:
        """Return a hash of the chip's fidelities, because pyqpanda3 gives no calibration date."""
        with self.told():
            chip = self._backend.chip_info()
            single = [
                (q.get_qubit_id(), q.get_single_gate_fidelity(), q.get_readout_fidelity(), q.get_t1(), q.get_t2())
                for q in chip.single_qubit_info()
            ]
            double = [(p.get_qubits(), p.get_fidelity()) for p in chip.double_qubits_info()]
        return "fidelities " + hashlib.sha256(repr((single, double)).encode()).hexdigest()[:16]

    def check(self, shots: int | None) -> None:
        with self.told():
            there = dict(self._service.backends())
        if self.target not in there:
            raise RefusedError(f"Origin's cloud has no device {self.target}; it has {', '.join(sorted(there))}")
        if not there[self.target]:
            raise UnavailableError(f"device {self.name} is switched off at present")

    def submit(self, circuits: BoundCircuits, shots: int, token: str) -> str:
        """Submit all circuits as one job. The token is its batch id, but the cloud has no lookup by batch id."""
        self.refuse_calibration(circuits)
        programs = [program(circuits.qubits, circuits.gates, row, circuits.barriers) for row in circuits.angles]
        with self.told("preparing"):
            backend = self._backend
            options = self.library.QCloudOptions()
            options.set_amend(False)
            options.set_mapping(True)
            options.set_optimization(not circuits.barriers)
        with self.told("sending"):
            return str(backend.run(programs, shots, options, batch_id=token).job_id())

    def state(self, job: str) -> JobState:
        with self.told():
            return JobState[self._asked(job).job_status().name]

    def fetch(self, job: str, circuits: BoundCircuits, shots: int) -> dict[int, dict[str, int]]:
        """Return the counts of every circuit. Circuits with empty counts did not come back and are left out."""
        with self.told():
            result = self._asked(job)
            if JobState[result.job_status().name] is JobState.FAILED:
                raise RefusedError(f"device {self.name}: {one_line(result.error_message())}")
            counts = result.get_counts_list()
        return {place: _by_bits(row, circuits.qubits) for place, row in enumerate(counts) if row}

    def cancel(self, job: str) -> None:
        with self.told():
            self._job(job).cancel()

    def _asked(self, job: str) -> Any:
        """Query a job. pyqpanda3 also reports it as failed when the query itself failed."""
        result = self._job(job).query()
        message = result.error_message()
        if message.startswith("query qcloud task") or "unsupported taskState" in message:
            raise RuntimeError(message)
        return result

    def _job(self, job: str) -> Any:
        """Return a job by its id. pyqpanda3 uses the key and address of the service that was created last."""
        assert self._service is not None  # creates the service
        return self.library.QCloudJob(job)

    @cached_property
    def _service(self) -> Any:
        key, url = (os.environ.get(name, "").strip() for name in ("ORIGIN_API_KEY", "ORIGIN_API_URL"))
        if not key:
            raise RefusedError(
                f"device {self.name} needs a key of Origin Quantum's cloud in the environment, as ORIGIN_API_KEY"
            )
        return self.library.QCloudService(key, *filter(None, [url]))

    @cached_property
    def _backend(self) -> Any:
        return self._service.backend(self.target)

    @contextmanager
    def told(self, step: Step = "asking") -> Iterator[None]:
        """Drop what pyqpanda3 writes to standard error, too: the cloud's words and the key."""
        with super().told(step):
            kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, 2)
            try:
                yield
            finally:
                os.dup2(kept, 2)
                os.close(kept)
                os.close(nowhere)


def _by_bits(counts: dict[str, int], qubits: int) -> dict[str, int]:
    """Convert counts to bit strings with qubit 0 first. The cloud's keys are hex or binary, and bit i is qubit i."""
    numbers = {int(key, 16 if key.startswith("0x") else 2): int(count) for key, count in counts.items()}
    return {f"{number:0{qubits}b}"[::-1]: count for number, count in numbers.items()}


def make(name: str, target: str, settings: DeviceSettings) -> Device | RemoteDevice:
    """Create the device `target`: "cpu", or a chip such as "WK_C180"."""
    return OriginCPUDevice(name, settings) if target == "cpu" else OriginCloudDevice(name)


PROVIDER = Provider(
    make,
    (
        Entry("origin:cpu", "pyqpanda3's simulator", ("pyqpanda3",)),
        Entry("origin:CHIP", "Origin's chips; takes jobs", ("pyqpanda3",)),
    ),
)
