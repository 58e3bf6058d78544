"""Runs circuits on any device: each once, reusing stored results, within a budget."""

import operator
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import numpy as np

from qweft.devices.bound import BoundCircuits
from qweft.devices.device import Device, DeviceError, NotTakenError, RemoteDevice, UnavailableError
from qweft.devices.jobs.budget import Budget, Estimate, estimate
from qweft.devices.jobs.remote import RemoteRun
from qweft.devices.jobs.retry import Retry
from qweft.devices.jobs.store import Counts, Store, Where
from qweft.devices.outcomes import Frequencies, from_counts, to_counts
from qweft.devices.prices import PriceList
from qweft.text import many

JOBS_AT_ONCE = 4
MOST_NUMBERS = 2**24
"""Largest size of the frequencies of simulators that an executor keeps in memory: 128 MiB in float64."""


class Executor:
    """A `Runner` in front of a device that pays for nothing twice.

    Args:
        device: Device that answers directly, or one that takes jobs.
        store: Results and ledger; by default those in the cache folder.
        budget: Limits on what is sent; by default no caps, with the device's price from the price list.
        retry: Waiting times.
        jobs_at_once: Maximum number of open jobs at the provider.
        any_calibration: Whether to accept results from other calibrations of the chip.
        tell: Receives a line for each job that is sent or has ended.
    """

    def __init__(
        self,
        device: Device | RemoteDevice,
        store: Store | None = None,
        budget: Budget | None = None,
        retry: Retry | None = None,
        jobs_at_once: int = JOBS_AT_ONCE,
        any_calibration: bool = False,
        tell: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.device = device
        self.store = store or Store()
        self.budget = budget or Budget(device.name, PriceList.load().of(device.name))
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
        shots = self._checked(circuits, shots)
        once, places = circuits.unique()
        if shots is None or not self._keeps_results:
            rows = self._from_memory(once, shots)
        else:
            keys = once.keys()
            where = self._where(keys, shots)
            if isinstance(self.device, RemoteDevice):
                waiting = self.retry, self.jobs_at_once, self.tell
                counts = RemoteRun(self.device, self.store, self.budget, *waiting, once, where).finish()
            else:
                counts = self._from_store(self.device, once, where)
            rows = [from_counts(counts[key], once.qubits, shots) for key in keys]
        return Frequencies(np.array(rows).reshape(-1, 2**once.qubits)[places], shots)

    def estimate(self, circuits: BoundCircuits, shots: int | None) -> Estimate:
        """Estimate what `run` would take, without sending anything."""
        shots = self._checked(circuits, shots)
        once, _ = circuits.unique()
        cached = others = 0
        if shots is not None and self._keeps_results:
            where = self._where(once.keys(), shots)
            cached = len(self.store.results(once.keys(), where))
            others = self.store.other_calibrations(once.keys(), where)
        return estimate(self.device, self.budget.price, len(once), shots, cached, others)

    @property
    def _keeps_results(self) -> bool:
        return isinstance(self.device, RemoteDevice) or self.device.keeps_results

    def _checked(self, circuits: BoundCircuits, shots: object) -> int | None:
        """Return the shots as a Python integer, after checks that need no answer of the provider."""
        name, limits = self.device.name, self.device.limits
        try:
            number = None if shots is None else operator.index(shots)  # type: ignore[arg-type] # not NumPy's
        except TypeError:
            raise DeviceError(f"device {name} takes a whole number of shots, got {shots!r}") from None
        if isinstance(self.device, RemoteDevice) and (number is None or number < 1):
            raise DeviceError(f"device {name} needs a number of shots of at least 1, got {shots}")
        if limits.shots is not None and (number or 0) > limits.shots:
            raise DeviceError(f"device {name} takes at most {many(limits.shots, 'shot')} of a circuit, got {shots:,}")
        if limits.qubits is not None and circuits.qubits > limits.qubits:
            raise DeviceError(
                f"device {name} has {many(limits.qubits, 'qubit')}, and the circuit needs {circuits.qubits}"
            )
        if number is None and self.budget.price.counts_shots:  # a device may take a number of its own then
            raise DeviceError(
                f"device {name} has a price or a time for each shot; give a number of shots, so that it can be counted"
            )
        return number

    def _where(self, keys: list[str], shots: int) -> Where:
        anywhere = Where(self.device.identity(), shots, None)
        if self.any_calibration:
            return anywhere
        try:
            return replace(anywhere, calibration=self.retry.ask(self.device.calibration))
        except DeviceError as error:
            kept = len(self.store.results(keys, anywhere))
            if not kept:
                raise
            raise type(error)(
                f"{error}; so nobody knows which results are of the present calibration: {kept} of "
                f"{many(len(keys), 'circuit')} have some of any, which --any-calibration true (any_calibration=True) "
                "takes"
            ) from error

    def _from_memory(self, circuits: BoundCircuits, shots: int | None) -> list[np.ndarray]:
        """Return frequencies that are not worth a place on disk; recent ones are remembered."""
        assert isinstance(self.device, Device)
        keys = circuits.keys()
        new = circuits.pick([row for row, key in enumerate(keys) if (key, shots) not in self._recent])
        for batch, frequencies in self._measure(self.device, new, shots):
            self._recent.update(zip([(key, shots) for key in new.keys()[batch]], frequencies, strict=True))
        rows = [self._recent[key, shots] for key in keys]
        if len(self._recent) << circuits.qubits > MOST_NUMBERS:
            self._recent.clear()
        return rows

    def _from_store(self, device: Device, circuits: BoundCircuits, where: Where) -> dict[str, Counts]:
        """Return the counts of all circuits, after those without a result were measured and stored."""
        keys = circuits.keys()
        counts = self.store.results(keys, where)
        missing = circuits.pick([row for row, key in enumerate(keys) if key not in counts])
        if len(missing) and where.calibration is None:
            where = replace(where, calibration=self.retry.ask(device.calibration))
        for batch, frequencies in self._measure(device, missing, where.shots):
            made = to_counts(frequencies, where.shots)
            if any(sum(each.values()) != where.shots for each in made):
                raise DeviceError(f"device {device.name} gives no counts of {many(where.shots, 'shot')}")
            some = dict(zip(missing.keys()[batch], made, strict=True))
            self.store.keep(some, where, missing.qubits)
            counts |= some
        return counts

    def _measure(
        self, device: Device, circuits: BoundCircuits, shots: int | None
    ) -> Iterator[tuple[slice, np.ndarray]]:
        """Measure in batches that the device accepts; yield each batch's place and frequencies."""
        if len(circuits):
            self.retry.ask(lambda: device.check(shots))
        at_a_time = device.limits.circuits or max(len(circuits), 1)
        for first in range(0, len(circuits), at_a_time):
            batch = slice(first, first + at_a_time)
            yield batch, self.retry.ask(partial(self._measure_batch, device, circuits.pick(batch), shots))

    def _measure_batch(self, device: Device, batch: BoundCircuits, shots: int | None) -> np.ndarray:
        """Measure one batch once, and count it in the budget; `UnavailableError` means that a retry costs nothing."""
        self.budget.spend(len(batch), shots or 0)
        try:
            return device.run(batch, shots).values
        except NotTakenError:
            self.budget.refund(len(batch), shots or 0)
            raise
        except UnavailableError as error:
            if self.budget.price.free:
                raise
            raise DeviceError(
                f"{error}; nobody knows whether {device.name} measured these {len(batch)} circuits and bills them, so "
                "they are not sent again: the same command does that"
            ) from error
