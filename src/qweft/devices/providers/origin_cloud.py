"""Origin Quantum's cloud by jobs of pyqpanda3: chips, and the simulator "full_amplitude"."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

from qweft.circuit.formats.origin import program
from qweft.devices.bound import BoundCircuits
from qweft.devices.device import JobState, Limits, RemoteDevice
from qweft.devices.errors import DeviceError, RefusedError, UnavailableError
from qweft.devices.extras import require
from qweft.devices.providers.fate import Step, error_of
from qweft.devices.providers.origin_answers import fate_of
from qweft.devices.providers.secrets import one_line
from qweft.suggest import near

KEY, URL = "ORIGIN_API_KEY", "ORIGIN_API_URL"
SIMULATOR = "full_amplitude"

STATES = {
    "WAITING": JobState.QUEUED,
    "QUEUING": JobState.QUEUED,
    "COMPUTING": JobState.RUNNING,
    "FINISHED": JobState.DONE,
    "FAILED": JobState.FAILED,
}


class OriginCloudDevice(RemoteDevice):
    """A device of Origin Quantum's cloud.

    The key comes from the environment variable ORIGIN_API_KEY. ORIGIN_API_URL is needed for a private deployment only;
    for keys of the old kind pyqpanda3's own address is plain http.

    The cloud maps a circuit to the chip and compiles it, without optimization where a circuit has barriers; its own
    correction of reading out ("amend") is off, so that counts are counts.

    Args:
        name: As the user gave it.
        target: Origin's name of the device.
    """

    def __init__(self, name: str, target: str) -> None:
        super().__init__(name)
        self._cloud = require("pyqpanda3.qcloud", "origin", f"device {name}")
        self._target = target
        # on record for the paper and in pyqpanda3's documentation: 200 circuits a batch; the simulator takes one
        self.limits = Limits(qubits=33, circuits=1) if target == SIMULATOR else Limits(circuits=200)

    def calibration(self) -> str:
        """A hash of the chip's fidelities: pyqpanda3 tells them and no date."""
        if self._target == SIMULATOR:
            return ""
        with self._told():
            chip = self._backend.chip_info()
            single = [
                (q.get_qubit_id(), q.get_single_gate_fidelity(), q.get_readout_fidelity(), q.get_t1(), q.get_t2())
                for q in chip.single_qubit_info()
            ]
            double = [(p.get_qubits(), p.get_fidelity()) for p in chip.double_qubits_info()]
        return "fidelities " + hashlib.sha256(repr((single, double)).encode()).hexdigest()[:16]

    def check(self, shots: int | None) -> None:
        """Key, device and shots.

        Raises:
            DeviceError: If there is no key, or no such device, or no number of shots.
            UnavailableError: If the device is switched off, or the cloud does not answer.
        """
        if shots is None or shots < 1:
            raise DeviceError(f"device {self.name} needs a number of shots of at least 1, got {shots}")
        with self._told():
            there = dict(self._service.backends())
        if self._target not in there:
            close = near(self._target, there, most=3) or sorted(there)
            raise RefusedError(f"Origin's cloud has no device {self._target}; it has {', '.join(close) or 'none'}")
        if not there[self._target]:
            raise UnavailableError(f"device {self.name} is switched off at present")

    def submit(self, circuits: BoundCircuits, shots: int, token: str) -> str:
        """One job of all circuits; the token goes along as the batch's number, by which the cloud cannot be asked."""
        if circuits.placed_like is not None and self._target != SIMULATOR:
            raise RefusedError(
                f"device {self.name} does not tell on which qubits it puts a circuit, so errors in reading out cannot "
                "be measured for them; leave readout mitigation out"
            )
        programs = [program(circuits.qubits, circuits.gates, row, circuits.barriers) for row in circuits.angles]
        with self._told(Step.PREPARING):
            backend = self._backend
            options = self._cloud.QCloudOptions()
            options.set_amend(False)
            options.set_mapping(True)
            options.set_optimization(not circuits.barriers)
        with self._told(Step.SENDING):
            if self._target == SIMULATOR:
                (only,) = programs
                return str(backend.run(only, shots, batch_id=token).job_id())
            return str(backend.run(programs, shots, options, batch_id=token).job_id())

    def state(self, job: str) -> JobState:
        """Where the job stands."""
        with self._told():
            return STATES[self._asked(job).job_status().name]

    def fetch(self, job: str, circuits: BoundCircuits, shots: int) -> dict[int, dict[str, int]]:
        """Counts of every circuit; a row without any stands for one that did not come back."""
        with self._told():
            result = self._asked(job)
            state = STATES[result.job_status().name]
            if state is JobState.FAILED:
                raise RefusedError(f"device {self.name}: {one_line(RuntimeError(result.error_message()))}")
            if state is not JobState.DONE:
                raise UnavailableError(f"device {self.name}: job {job} is {state.value}")
            counts = result.get_counts_list()
        if len(counts) != len(circuits):
            raise RefusedError(
                f"device {self.name}: job {job} has {len(counts)} results for {len(circuits)} circuits, and nobody "
                "knows which belong together"
            )
        return {place: _by_bits(row, circuits.qubits) for place, row in enumerate(counts) if row}

    def cancel(self, job: str) -> None:
        """Ask the cloud to stop it."""
        with self._told():
            self._job(job).cancel()

    def _asked(self, job: str) -> Any:
        """What the cloud knows of a job; pyqpanda3 calls it failed, too, where the question itself failed."""
        result = self._job(job).query()
        said = result.error_message()
        if said.startswith("query qcloud task") or "unsupported taskState" in said:
            raise RuntimeError(said)
        return result

    def _job(self, job: str) -> Any:
        """A job by its id, with the key and address of the service that was made last."""
        assert self._service is not None  # there is one now
        return self._cloud.QCloudJob(job)

    @cached_property
    def _service(self) -> Any:
        key = os.environ.get(KEY, "").strip()
        if not key:
            raise RefusedError(f"device {self.name} needs a key of Origin Quantum's cloud in the environment, as {KEY}")
        url = os.environ.get(URL, "").strip()
        return self._cloud.QCloudService(key, url) if url else self._cloud.QCloudService(key)

    @cached_property
    def _backend(self) -> Any:
        return self._service.backend(self._target)

    @contextmanager
    def _told(self, step: Step = Step.ASKING) -> Iterator[None]:
        """Turns what pyqpanda3 raises into one of our errors, without the key."""
        try:
            yield
        except DeviceError:
            raise
        except Exception as error:
            text = one_line(error)
            sentence = f"device {self.name}: {text}"
            raise error_of(fate_of(text, step), step, sentence) from None  # what it was raised from may show the key


def _by_bits(counts: dict[str, int], qubits: int) -> dict[str, int]:
    """Counts by bit string, qubit 0 first; the cloud writes numbers, hexadecimal or binary, whose bit i is qubit i."""
    found: dict[str, int] = {}
    for key, count in counts.items():
        outcome = int(key, 16) if key.lower().startswith("0x") else int(key, 2)
        bits = format(outcome, f"0{qubits}b")[::-1]
        found[bits] = found.get(bits, 0) + int(count)
    return found
