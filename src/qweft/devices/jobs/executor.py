"""Runs circuits on any device: each once, reusing stored results, within a budget."""

from collections.abc import Callable
from functools import partial

import numpy as np

from qweft.core.text import many
from qweft.devices.bound import BoundCircuits
from qweft.devices.device import Device, DeviceError, NotTakenError, RemoteDevice, UnavailableError
from qweft.devices.jobs.budget import CircuitBudget, Estimate, estimate
from qweft.devices.jobs.remote import RemoteRun, Retry
from qweft.devices.jobs.store import Store, Where
from qweft.devices.outcomes import Frequencies, from_counts, to_counts

MOST_NUMBERS = 2**24
"""Largest size of the frequencies of simulators that an executor keeps in memory: 128 MiB in float64."""


class Executor:
    """A `Runner` in front of a device that pays for nothing twice.

    Args:
        device: Device that answers directly, or one that takes jobs.
        store: Results and ledger; by default those in the cache folder.
        budget: Cap on the circuits that are sent; by default none.
        retry: Waiting times.
        jobs_at_once: Maximum number of open jobs at the provider.
        any_calibration: Whether to accept results from other calibrations of the chip.
        tell: Receives a line for each job that is sent or has ended.
    """

    def __init__(
        self,
        device: Device | RemoteDevice,
        store: Store | None = None,
        budget: CircuitBudget | None = None,
        retry: Retry | None = None,
        jobs_at_once: int = 4,
        any_calibration: bool = False,
        tell: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.device = device
        self.store = store or Store()
        self.budget = budget or CircuitBudget(device.name)
        self.retry = retry or Retry()
        self.jobs_at_once = jobs_at_once
        self.any_calibration = any_calibration
        self.tell = tell
        self._recent: dict[tuple[str, int | None], np.ndarray] = {}

    def run(self, circuits: BoundCircuits, shots: int | None) -> Frequencies:
        """Measure every circuit; equal circuits are measured once.

        Raises:
            DeviceError: The device, the budget or the store reports an error. Results so far are stored.
        """
        self._check(circuits, shots)
        once, places = circuits.unique()
        if isinstance(self.device, RemoteDevice):
            assert shots is not None  # `_check` raises
            run = RemoteRun(self.device, self.store, self.budget, self.retry, self.jobs_at_once, self.tell)
            counts = run.finish(once, self._where(shots))
            rows = [from_counts(row, once.qubits, shots) for row in counts]
        else:
            rows = self._measured(self.device, once, shots)
        return Frequencies(np.array(rows).reshape(-1, 2**once.qubits)[places], shots)

    def estimate(self, circuits: BoundCircuits, shots: int | None) -> Estimate:
        """Estimate what `run` would take, without sending anything."""
        self._check(circuits, shots)
        once, _ = circuits.unique()
        cached = 0
        if shots is not None and self.device.keeps_results:
            cached = len(self.store.results(once.keys(), self._where(shots)))
        return estimate(self.device, len(once), shots, cached)

    def _check(self, circuits: BoundCircuits, shots: int | None) -> None:
        """Raise for what needs no answer of the provider."""
        name, limits = self.device.name, self.device.limits
        if isinstance(self.device, RemoteDevice) and not shots:
            raise DeviceError(f"device {name} takes shots; give a number of shots of at least 1, got {shots}")
        if limits.qubits is not None and circuits.qubits > limits.qubits:
            raise DeviceError(
                f"device {name} has {many(limits.qubits, 'qubit')}, and the circuit needs {circuits.qubits}; choose a "
                "larger device or a smaller circuit"
            )

    def _where(self, shots: int) -> Where:
        calibration = None if self.any_calibration else self.retry.ask(self.device.calibration)
        return Where(self.device.identity(), int(shots), calibration)  # a NumPy integer too

    def _measured(self, device: Device, circuits: BoundCircuits, shots: int | None) -> list[np.ndarray]:
        """Return the frequencies of all circuits; those not known are measured in batches, and then kept."""
        keys, known, where = circuits.keys(), self._recent, None
        if shots is not None and device.keeps_results:
            where = self._where(shots)
            results = self.store.results(keys, where)
            known |= {(key, shots): from_counts(counts, circuits.qubits, shots) for key, counts in results.items()}
        missing = circuits.pick([row for row, key in enumerate(keys) if (key, shots) not in known])
        if len(missing):
            self.retry.ask(lambda: device.check(shots))
        at_a_time = device.limits.circuits or max(len(missing), 1)
        for first in range(0, len(missing), at_a_time):
            batch = missing.pick(slice(first, first + at_a_time))
            values = self.retry.ask(partial(self._measure_batch, device, batch, shots))
            known |= {(key, shots): row for key, row in zip(batch.keys(), values, strict=True)}
            if where is not None:
                counts = to_counts(values, where.shots)
                self.store.keep(dict(zip(batch.keys(), counts, strict=True)), where)
        rows = [known[key, shots] for key in keys]
        if len(known) << circuits.qubits > MOST_NUMBERS:
            known.clear()
        return rows

    def _measure_batch(self, device: Device, batch: BoundCircuits, shots: int | None) -> np.ndarray:
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
