"""Small circuits, and an executor that waits for nobody."""

import numpy as np

from qweft.devices import BoundCircuits
from qweft.devices.jobs import CircuitBudget, Executor, Retry

SHOTS = 50


def circuits(*numbers):
    """Circuits of two qubits, a different one for each number."""
    angles = np.array([[0.1 + number, 0.7, 0.3 * number] for number in numbers]).reshape(-1, 3)
    return BoundCircuits(2, (("ry", (0,)), ("crz", (0, 1)), ("ry", (1,))), angles)


class Time:
    """A clock that only waiting moves."""

    def __init__(self):
        self.now = 0.0

    def sleep(self, seconds):
        self.now += seconds

    def __call__(self):
        return self.now


def retry(**given):
    time = Time()
    return Retry(**{"timeout": 1000.0, "settle": 0.0, "sleep": time.sleep, "clock": time} | given)


def executor(device, store, max_circuits=None, **options):
    options = {"retry": retry()} | options
    return Executor(device, store, CircuitBudget(max_circuits), **options)
