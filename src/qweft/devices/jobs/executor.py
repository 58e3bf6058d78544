"""Runs circuits on any device: each once, reusing stored results, within a budget."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from qweft.core.text import many
from qweft.devices.bound import BoundCircuits
from qweft.devices.device import Device, DeviceError, NotTakenError, RemoteDevice, UnavailableError
from qweft.devices.jobs.budget import CircuitBudget, Estimate, estimate
from qweft.devices.jobs.remote import RemoteRun, Retry
from qweft.devices.jobs.store import Store, Where
from qweft.devices.outcomes import Frequencies, from_counts, to_counts

MOST_NUMBERS = 2**24
"""Largest size of the frequencies that an executor keeps in memory: 128 MiB in float64."""

Known = dict[tuple[str, int | None], np.ndarray]
"""Frequencies (2^n,) by the circuit's key and the shots."""


def tell_nobody(line: str) -> None:
    """Drop a line."""


@dataclass(eq=False)
class Executor:
    """A `CircuitRunner` in front of a device that pays for nothing twice.

    Args:
        device: Device that answers directly, or one that takes jobs.
        store: Results and ledger; by default those in the cache folder.
        budget: Cap on the circuits that are sent; by default none.
        retry: Waiting times.
        jobs_at_once: Maximum number of open jobs at the provider.
        any_calibration: Whether to accept results from other calibrations of the chip.
        tell: Receives a line for each job that is sent or has ended.
    """

    device: Device | RemoteDevice
    store: Store = field(default_factory=Store)
    budget: CircuitBudget = field(default_factory=CircuitBudget)
    retry: Retry = field(default_factory=Retry)
    jobs_at_once: int = 4
    any_calibration: bool = False
    tell: Callable[[str], None] = tell_nobody
    _known: Known = field(default_factory=dict, init=False, repr=False)

    def run(self, circuits: BoundCircuits, shots: int | None) -> Frequencies:
        """Measure every circuit; equal circuits are measured once.

        Raises:
            DeviceError: The device, the budget or the store reports an error. Results so far are stored.
        """
        self._check(circuits, shots)
        distinct, index = circuits.unique()
        if isinstance(self.device, RemoteDevice):
            assert shots is not None  # `_check` raises
            rows = self._collect(self.device, distinct, shots)
        else:
            rows = self._measure(self.device, distinct, shots)
        values = np.array(rows).reshape(-1, 2**distinct.qubits)
        return Frequencies(values[index], shots)

    def estimate(self, circuits: BoundCircuits, shots: int | None) -> Estimate:
        """Estimate what `run` would take, without sending anything."""
        self._check(circuits, shots)
        distinct, _ = circuits.unique()
        cached = 0
        if shots is not None and self.device.keeps_results:
            cached = len(self.store.results(distinct.keys(), self._where(shots)))
        return estimate(self.device, len(distinct), shots, cached)

    def _check(self, circuits: BoundCircuits, shots: int | None) -> None:
        """Raise for what needs no answer of the provider."""
        name = self.device.name
        most_qubits = self.device.limits.qubits
        if isinstance(self.device, RemoteDevice) and not shots:
            raise DeviceError(f"device {name} takes jobs of at least 1 shot, got {shots}; give a number of shots")
        if most_qubits is not None and circuits.qubits > most_qubits:
            raise DeviceError(
                f"device {name} has {many(most_qubits, 'qubit')}, and the circuit needs {circuits.qubits}; choose a "
                "larger device or a smaller circuit"
            )

    def _where(self, shots: int) -> Where:
        """Return the conditions under which results are accepted."""
        calibration = None
        if not self.any_calibration:
            calibration = self.retry.ask(self.device.calibration)
        return Where(self.device.identity(), int(shots), calibration)  # shots may be a NumPy integer

    def _collect(self, device: RemoteDevice, circuits: BoundCircuits, shots: int) -> list[np.ndarray]:
        """Return the frequencies of distinct circuits from jobs."""
        run = RemoteRun(device, self.store, self.budget, self.retry, self.jobs_at_once, self.tell)
        counts = run.finish(circuits, self._where(shots))
        return [from_counts(row, circuits.qubits, shots) for row in counts]

    def _measure(self, device: Device, circuits: BoundCircuits, shots: int | None) -> list[np.ndarray]:
        """Return the frequencies of distinct circuits; those not known are measured in batches, and then kept."""
        keys = circuits.keys()
        where = None
        if shots is not None and device.keeps_results:
            where = self._where(shots)
            for key, counts in self.store.results(keys, where).items():
                self._known[key, shots] = from_counts(counts, circuits.qubits, shots)
        missing = circuits.pick([row for row, key in enumerate(keys) if (key, shots) not in self._known])
        if len(missing):
            self.retry.ask(lambda: device.check(shots))
        circuits_at_a_time = device.limits.circuits or max(len(missing), 1)
        for first in range(0, len(missing), circuits_at_a_time):
            batch = missing.pick(slice(first, first + circuits_at_a_time))
            self._measure_batch(device, batch, shots, where)
        rows = [self._known[key, shots] for key in keys]
        if len(self._known) * 2**circuits.qubits > MOST_NUMBERS:
            self._known.clear()
        return rows

    def _measure_batch(self, device: Device, batch: BoundCircuits, shots: int | None, where: Where | None) -> None:
        """Measure one batch, keep its frequencies in memory, and store its counts if there are conditions for that."""
        values = self.retry.ask(lambda: self._try_batch(device, batch, shots))
        keys = batch.keys()
        for key, row in zip(keys, values, strict=True):
            self._known[key, shots] = row
        if where is not None:
            counts = to_counts(values, where.shots)
            self.store.keep(dict(zip(keys, counts, strict=True)), where)

    def _try_batch(self, device: Device, batch: BoundCircuits, shots: int | None) -> np.ndarray:
        """Measure one batch once, and count it in the budget; `UnavailableError` means that a retry costs nothing."""
        self.budget.spend(len(batch))
        try:
            return device.run(batch, shots).values
        except NotTakenError:
            self.budget.refund(len(batch))
            raise
        except UnavailableError as error:
            if not device.may_bill:
                raise
            size = many(len(batch), "circuit")
            raise DeviceError(
                f"{error}; it is unknown whether {device.name} measured and billed these {size}, so they were not sent "
                "again; run the same command to send them again"
            ) from error
