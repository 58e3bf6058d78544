"""Random circuits with angles."""

import math

import torch
from hypothesis import strategies as st

from qweft.circuit import Circuit, Gate

ANGLES = st.one_of(
    st.floats(-7, 7, allow_subnormal=False),
    st.sampled_from([0.0, -0.0, 1e-17, -1e-17, 1e5, -1e5, 99999.123456789]),
    st.integers(-9, 9).map(lambda times: times * math.pi / 2),
)


@st.composite
def random_cases(draw):
    """(circuit, inputs, parameters): gates on any wires, in any order, with angles of any size."""
    qubits = draw(st.integers(1, 5))
    inputs, parameters = draw(st.integers(1, 4)), draw(st.integers(0, 6))
    gates = []
    for _ in range(draw(st.integers(1, 15))):  # pyqpanda3 reads no program without statements
        source = draw(st.sampled_from(["input", "parameter"] if parameters else ["input"]))
        index = draw(st.integers(0, (inputs if source == "input" else parameters) - 1))
        two = qubits > 1 and draw(st.booleans())
        wires = draw(st.permutations(range(qubits)))[: 2 if two else 1]
        gates.append(Gate("crz" if two else "ry", tuple(wires), source, index))
    return (
        Circuit(qubits, inputs, parameters, tuple(gates)),
        *(
            torch.tensor(draw(st.lists(ANGLES, min_size=n, max_size=n)), dtype=torch.float64)
            for n in (inputs, parameters)
        ),
    )
