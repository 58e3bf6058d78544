"""The same circuit within a run."""

import numpy as np

from qweft.devices import make_device
from qweft.devices.device import Device
from qweft.devices.jobs import Executor
from qweft.devices.jobs.executor import Memory
from tests.devices.jobs.circuits import circuits


class Counting(Device):
    """Shots, and how many circuits were run."""

    keeps_results = False

    def __init__(self):
        super().__init__("shots")
        self.inner = make_device("shots")
        self.ran = 0

    def run(self, circuits, shots):
        self.ran += len(circuits)
        return self.inner.run(circuits, shots)


def test_a_quick_device_runs_a_circuit_once_for_each_number_of_shots():
    device = Counting()
    executor = Executor(device)
    first = executor.run(circuits(*range(5)), 50).values
    again = executor.run(circuits(*range(3, 8)), 50).values
    assert device.ran == 8
    np.testing.assert_array_equal(again[:2], first[3:])
    np.testing.assert_array_equal(again, device.inner.run(circuits(*range(3, 8)), 50).values)
    executor.run(circuits(*range(5)), 60)
    assert device.ran == 13


def test_a_full_memory_begins_anew():
    some = circuits(*range(6))
    rows = make_device("shots").run(some, 10).values
    memory = Memory(most_numbers=rows[:4].size)
    memory.keep(some.pick([0, 1, 2]), 10, rows[:3])
    assert memory.recall(some, 10)[1] == [3, 4, 5]
    memory.keep(some.pick([3, 4]), 10, rows[3:5])
    found, unknown = memory.recall(some, 10)
    assert unknown == [0, 1, 2, 5]
    np.testing.assert_array_equal(found[3:5], rows[3:5])
    memory.keep(some, 10, rows)  # more than it can hold
    assert len(memory.recall(some, 10)[1]) == 6
