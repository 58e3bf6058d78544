"""Pictures of circuits as files."""

import io

import numpy as np
import pytest
from matplotlib.image import imread

from qweft.circuit import Circuit, Gate, crz_ring_ansatz
from qweft.circuit.picture import DPI, LONGEST, circuit_picture

LATE = Circuit(
    1, LONGEST - 1, 40,
    tuple(Gate("ry", (0,), "input", index) for index in range(LONGEST - 1))
    + tuple(Gate("ry", (0,), "parameter", index) for index in range(0, 40, 10)),
)  # fmt: skip
"""A frame, and its heading, that begin at the end of a line."""


@pytest.mark.parametrize(
    "circuit",
    [
        crz_ring_ansatz(1, 3, False),  # a heading longer than the drawing
        crz_ring_ansatz(4, 2),
        crz_ring_ansatz(12, 2),  # two lines, wires q10 and q11
        LATE,
        Circuit(2, 0, 0, ()),
    ],
)
def test_nothing_touches_the_edge(circuit):
    pixels = imread(io.BytesIO(circuit_picture(circuit, "png")))
    free = round(0.1 * DPI)
    inside = pixels[free:-free, free:-free]
    assert (inside[..., :3] < 1).any()
    edge = np.ones(pixels.shape[:2], bool)
    edge[free:-free, free:-free] = False
    assert (pixels[edge] == 1).all()
