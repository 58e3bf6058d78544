"""Runs circuits on any device: each once, reusing stored results, within a budget."""

import operator
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from qweft.devices.bound import BoundCircuits
from qweft.devices.device import Device, DeviceError, NotTakenError, RemoteDevice, UnavailableError
from qweft.devices.jobs.budget import Budget, Estimate, estimate
from qweft.devices.jobs.prices import PriceList
from qweft.devices.jobs.record import Counts, Where
from qweft.devices.jobs.remote import RemoteRun
from qweft.devices.jobs.retry import Retry
from qweft.devices.jobs.store import Store
from qweft.devices.outcomes import Frequencies, from_counts
from qweft.text import many

MOST_NUMBERS = 2**24
"""Largest size of the frequencies that an executor keeps in memory: 128 MiB in float64."""
JOBS_AT_ONCE = 4


class Executor:
    """A `Runner` in front of a device that pays for nothing twice.

    Args:
        device: Device that answers directly, or one that takes jobs.
        store: Results and ledger. `None` means the store in the cache folder.
        budget: Limits on what is sent. `None` means no caps, with the device's price from the price list.
        retry: Waiting times. `None` means the defaults.
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

        Args:
            circuits: Any number of circuits.
            shots: Measurements of each circuit. `None` requests exact probabilities, which only simulators have.

        Raises:
            DeviceError: The device, the budget or the store reports an error. Results so far are stored.
        """
        shots = _whole(self.device, shots)
        self._check(circuits, shots)
        self._check_counted(shots)
        once, places = circuits.unique()
        if isinstance(self.device, RemoteDevice):
            assert shots is not None
            job_run = RemoteRun(
                self.device, self.store, self.budget, self.retry, self.jobs_at_once, once,
                self._where(once.keys(), shots), self.tell,
            )  # fmt: skip
            values = _rows(job_run.finish(), once, shots)
        elif shots is None or not self.device.keeps_results:
            values = self._measure_what_is_new(self.device, once, shots)
        else:
            values = self._measure_what_is_missing(self.device, once, shots)
        return Frequencies(values[places], shots)

    def estimate(self, circuits: BoundCircuits, shots: int | None) -> Estimate:
        """Estimate what `run` would take, without sending anything."""
        shots = _whole(self.device, shots)
        self._check_counted(shots)
        once, _ = circuits.unique()
        cached = others = 0
        if shots is not None and (isinstance(self.device, RemoteDevice) or self.device.keeps_results):
            where = self._where(once.keys(), shots)
            cached = len(self.store.results(once.keys(), where))
            others = self.store.other_calibrations(once.keys(), where)
        return estimate(self.device, self.budget.price, len(once), shots, cached, others)

    def _check(self, circuits: BoundCircuits, shots: int | None) -> None:
        """Check limits without contacting the provider, because stored results need no answer from it."""
        limits = self.device.limits
        if isinstance(self.device, RemoteDevice) and (shots is None or shots < 1):
            raise DeviceError(f"device {self.device.name} needs a number of shots of at least 1, got {shots}")
        if limits.shots is not None and (shots or 0) > limits.shots:
            raise DeviceError(
                f"device {self.device.name} takes at most {many(limits.shots, 'shot')} of a circuit, got {shots:,}"
            )
        if limits.qubits is not None and circuits.qubits > limits.qubits:
            raise DeviceError(
                f"device {self.device.name} has {many(limits.qubits, 'qubit')}, and the circuit needs {circuits.qubits}"
            )

    def _check_counted(self, shots: int | None) -> None:
        """Check that shots are given where they cost something: without any, a device may take a number of its own."""
        if shots is None and self.budget.price.counts_shots:
            raise DeviceError(
                f"device {self.device.name} has a price or a time for each shot; give a number of shots, so that it "
                "can be counted"
            )

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

    def _measure_what_is_new(self, device: Device, circuits: BoundCircuits, shots: int | None) -> np.ndarray:
        """Measure circuits that this executor has not measured recently, and keep their frequencies in memory."""
        keys = circuits.keys()
        new = [row for row, key in enumerate(keys) if (key, shots) not in self._recent]
        rows = self._measure(device, circuits.pick(new), shots, lambda batch, frequencies: None)
        self._recent.update(((keys[place], shots), row) for place, row in zip(new, rows, strict=True))
        values = np.stack([self._recent[key, shots] for key in keys]) if keys else rows
        if len(self._recent) << circuits.qubits > MOST_NUMBERS:
            self._recent.clear()
        return values

    def _measure_what_is_missing(self, device: Device, circuits: BoundCircuits, shots: int) -> np.ndarray:
        keys = circuits.keys()
        where = self._where(keys, shots)
        found = self.store.results(keys, where)
        missing = circuits.pick([row for row, key in enumerate(keys) if key not in found])
        if len(missing) and where.calibration is None:
            where = replace(where, calibration=self.retry.ask(device.calibration))

        def keep(batch: BoundCircuits, frequencies: np.ndarray) -> None:
            counts = dict(zip(batch.keys(), _counts(frequencies, shots, device.name), strict=True))
            self.store.keep(counts, where, batch.qubits)
            found.update(counts)

        self._measure(device, missing, shots, keep)
        return _rows(found, circuits, shots)

    def _measure(
        self,
        device: Device,
        circuits: BoundCircuits,
        shots: int | None,
        keep: Callable[[BoundCircuits, np.ndarray], None],
    ) -> np.ndarray:
        """Measure in batches that the device accepts, shape (circuits, 2^n). `keep` gets each batch at once."""
        values = np.empty((len(circuits), 2**circuits.qubits))
        if len(circuits):
            self.retry.ask(lambda: device.check(shots))
        at_a_time = device.limits.circuits or max(len(circuits), 1)
        for first in range(0, len(circuits), at_a_time):
            batch = circuits.pick(slice(first, first + at_a_time))
            found = self.retry.ask(partial(self._measure_batch, device, batch, shots))
            values[first : first + at_a_time] = found
            keep(batch, found)
        return values

    def _measure_batch(self, device: Device, batch: BoundCircuits, shots: int | None) -> np.ndarray:
        """Measure one batch once, and count it in the budget.

        Raises:
            UnavailableError: A retry costs nothing: the device is free, or it certainly did not accept the batch.
            DeviceError: The device did not answer but may have measured the batch.
        """
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


def _whole(device: Device | RemoteDevice, shots: object) -> int | None:
    """Return the shots as a Python integer. NumPy integers compare equal but are stored differently.

    Raises:
        DeviceError: The shots are not an integer.
    """
    if shots is None:
        return None
    try:
        return operator.index(shots)  # type: ignore[arg-type]
    except TypeError:
        raise DeviceError(f"device {device.name} takes a whole number of shots, got {shots!r}") from None


def _rows(found: dict[str, Counts], circuits: BoundCircuits, shots: int) -> np.ndarray:
    """Convert counts by key to frequencies, shape (circuits, 2^n)."""
    keys = circuits.keys()
    rows = [from_counts(found[key], circuits.qubits, shots) for key in keys]
    return np.stack(rows) if rows else np.empty((0, 2**circuits.qubits))


def _counts(frequencies: np.ndarray, shots: int, device: str) -> list[Counts]:
    """Convert each row of frequencies to counts.

    Raises:
        DeviceError: The frequencies are not counts of this many shots.
    """
    numbers = np.rint(frequencies * shots).astype(int)
    if not np.allclose(numbers, frequencies * shots, rtol=0, atol=1e-6) or (numbers.sum(1) != shots).any():
        raise DeviceError(f"device {device} gives frequencies that are no counts of {many(shots, 'shot')}")
    qubits = int(frequencies.shape[1]).bit_length() - 1
    return [{f"{outcome:0{qubits}b}": int(row[outcome]) for outcome in np.flatnonzero(row)} for row in numbers]
