"""Small circuits, and an executor that waits for nobody."""

import numpy as np

from qweft.devices import BoundCircuits
from qweft.devices.jobs import Budget, Executor, Price, Retry

SHOTS = 50

PRICE = Price(("fake:*",), "USD", job=1.0, circuit=0.25, shot=0.01, seconds_a_job=2.0, seconds_a_shot=0.001)


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


def executor(device, store, caps=None, **given):
    given = {"retry": retry()} | given
    return Executor(device, store, Budget(device.name, PRICE, caps), **given)
