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
    CatalogueEntry,
    Device,
    DeviceSettings,
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
"""What pyqpanda3's exceptions mean.

Only known refusals are refusals, because others may be paid for. "unknown error." is pyqpanda3's text for a refusal
without a reason. Its own messages are English; the cloud's may be Chinese, and one that is not about time or load is a
refusal.
"""


class OriginCPUDevice(Simulator):
    """The local simulator. It runs one circuit at a time, about 1 ms each, because pyqpanda3 has no batches here."""

    package = "pyqpanda3.core"

    def probabilities(self, circuits: BoundCircuits) -> np.ndarray:
        order = list(range(circuits.qubits))[::-1]  # pyqpanda3's qubit 0 is the least significant bit
        machine = self.library.CPUQVM()
        rows = []
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
        with self.translate_errors():
            chip = self._backend.chip_info()
            qubits = [
                (
                    qubit.get_qubit_id(),
                    qubit.get_single_gate_fidelity(),
                    qubit.get_readout_fidelity(),
                    qubit.get_t1(),
                    qubit.get_t2(),
                )
                for qubit in chip.single_qubit_info()
            ]
            pairs = [(pair.get_qubits(), pair.get_fidelity()) for pair in chip.double_qubits_info()]
        return "fidelities " + hashlib.sha256(repr((qubits, pairs)).encode()).hexdigest()[:16]

    def check(self, shots: int | None) -> None:
        with self.translate_errors():
            is_on = dict(self._service.backends())  # by name
        if self.target not in is_on:
            raise RefusedError(f"Origin's cloud has no device {self.target}; it has {', '.join(sorted(is_on))}")
        if not is_on[self.target]:
            raise UnavailableError(f"device {self.name} is switched off; try again later")

    def submit(self, circuits: BoundCircuits, shots: int, token: str) -> str:
        """Submit all circuits as one job. The token is its batch id, but the cloud has no lookup by batch id."""
        self.refuse_calibration(circuits)
        programs = [program(circuits.qubits, circuits.gates, row, circuits.barriers) for row in circuits.angles]
        with self.translate_errors("preparing"):
            backend = self._backend
            options = self.library.QCloudOptions()
            options.set_amend(False)
            options.set_mapping(True)
            options.set_optimization(not circuits.barriers)
        with self.translate_errors("sending"):
            return str(backend.run(programs, shots, options, batch_id=token).job_id())

    def state(self, job: str) -> JobState:
        with self.translate_errors():
            return JobState[self._query(job).job_status().name]

    def fetch(self, job: str, circuits: BoundCircuits, shots: int) -> dict[int, dict[str, int]]:
        """Return the counts of every circuit. Circuits with empty counts did not come back and are left out."""
        with self.translate_errors():
            result = self._query(job)
            if JobState[result.job_status().name] is JobState.FAILED:
                raise RefusedError(f"device {self.name}: {one_line(result.error_message())}")
            counts = result.get_counts_list()
        return {index: _by_bits(row, circuits.qubits) for index, row in enumerate(counts) if row}

    def cancel(self, job: str) -> None:
        with self.translate_errors():
            self._job(job).cancel()

    def _query(self, job: str) -> Any:
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
        key = os.environ.get("ORIGIN_API_KEY", "").strip()
        url = os.environ.get("ORIGIN_API_URL", "").strip()
        if not key:
            raise RefusedError(
                f"device {self.name} needs a key of Origin Quantum's cloud; set the environment variable ORIGIN_API_KEY"
            )
        if url:
            return self.library.QCloudService(key, url)
        return self.library.QCloudService(key)

    @cached_property
    def _backend(self) -> Any:
        return self._service.backend(self.target)

    @contextmanager
    def translate_errors(self, step: Step = "asking") -> Iterator[None]:
        """Drop what pyqpanda3 writes to standard error, too: the cloud's words and the key."""
        with super().translate_errors(step):
            # its C++ code writes to the file descriptor, which `contextlib.redirect_stderr` does not reach
            saved_stderr = os.dup(2)
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 2)
            try:
                yield
            finally:
                os.dup2(saved_stderr, 2)
                os.close(saved_stderr)
                os.close(null)


def _by_bits(counts: dict[str, int], qubits: int) -> dict[str, int]:
    """Convert counts to bit strings with qubit 0 first. The cloud's keys are hex or binary, and bit i is qubit i."""
    by_bits = {}
    for key, count in counts.items():
        base = 16 if key.startswith("0x") else 2
        bits = f"{int(key, base):0{qubits}b}"[::-1]
        by_bits[bits] = int(count)
    return by_bits


def make(name: str, target: str, settings: DeviceSettings) -> Device | RemoteDevice:
    """Create the device `target`: "cpu", or a chip such as "WK_C180"."""
    if target == "cpu":
        return OriginCPUDevice(name, settings)
    return OriginCloudDevice(name)


PROVIDER = Provider(
    make,
    (
        CatalogueEntry("origin:cpu", "pyqpanda3's simulator", ("pyqpanda3",)),
        CatalogueEntry("origin:CHIP", "Origin's chips; takes jobs", ("pyqpanda3",)),
    ),
)
