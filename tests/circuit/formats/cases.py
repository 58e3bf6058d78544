"""Circuits with angles: random ones, and those on record."""

import math

import torch
from hypothesis import strategies as st

from qweft.circuit import Circuit, Gate, crz_ring_ansatz, unentangled

ANGLES = st.one_of(
    st.floats(-7, 7),
    st.sampled_from([0.0, -0.0, 1e-17, -1e-17, 5e-324, 1e5, -1e5, 99999.123456789]),
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


def with_angles(circuit, seed=0):
    """(circuit, inputs, parameters) with normal angles."""
    generator = torch.Generator().manual_seed(seed)
    draw = [2 * torch.randn(n, dtype=torch.float64, generator=generator) for n in (circuit.inputs, circuit.parameters)]
    return circuit, *draw


RECORDED = {
    f"{qubits} qubits, {layers} layers{', one upload' if not reupload else ''}{', product' if product else ''}": (
        unentangled(whole)[0] if product else whole
    )
    for qubits in range(1, 7)
    for layers in range(1, 4)
    for reupload in (True, False)
    for whole in [crz_ring_ansatz(qubits, layers, reupload)]
    for product in (False, True)
}
"""The circuits on record, and each without its CRZ gates."""
