"""Our gates in those of a chip."""

import math

import numpy as np

from qweft.devices.noise.native import native_gates
from tests.devices.noise.native_matrices import unitary_of


def ry(angle):
    half = angle / 2
    return np.array([[math.cos(half), -math.sin(half)], [math.sin(half), math.cos(half)]])


def test_rotations_that_follow_each_other_are_one_gate():
    three = (("ry", (0,)), ("ry", (1,)), ("ry", (0,)))
    (first, second) = native_gates(three)
    np.testing.assert_allclose(unitary_of(first, [0.3, 0.0, 0.4]), ry(0.7), rtol=0, atol=1e-15)
    np.testing.assert_allclose(unitary_of(second, [0.3, 0.2, 0.4]), ry(0.2), rtol=0, atol=1e-15)


def test_nothing_is_merged_across_a_barrier():
    undone = (("ry", (0,)), ("ry", (0,)), ("ry", (0,)))
    assert len(native_gates(undone, barriers=(1, 2))) == 3
    assert [gate.turns[0].terms for gate in native_gates(undone, (1,))] == [((0, 1.0),), ((1, 1.0), (2, 1.0))]
