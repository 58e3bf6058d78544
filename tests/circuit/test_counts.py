"""Counts and pictures read the description, and nothing of it is lost."""

import io
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from PIL import Image
from qiskit import QuantumCircuit

from qweft.circuit import Circuit, crz_ring_ansatz, unentangled
from qweft.circuit.description import counts
from qweft.circuit.draw.picture import KINDS, circuit_picture
from qweft.circuit.formats import to_qiskit

CIRCUITS = [
    crz_ring_ansatz(4, 2),
    crz_ring_ansatz(3, 2, reupload=False),
    crz_ring_ansatz(2, 3),
    crz_ring_ansatz(1, 2),
    unentangled(crz_ring_ansatz(3, 2))[0],
    Circuit(2, 0, 0, ()),
]


@pytest.mark.parametrize("circuit", CIRCUITS)
def test_counts_are_those_that_qiskit_finds(circuit):
    other: QuantumCircuit = to_qiskit(circuit, measured=False)
    found = counts(circuit)
    assert found.gates == dict(other.count_ops())
    assert (found.one_qubit, found.two_qubit) == (
        other.size() - other.num_nonlocal_gates(), other.num_nonlocal_gates()
    )  # fmt: skip
    assert found.depth == other.depth()
    assert found.two_qubit_depth == other.depth(lambda step: len(step.qubits) == 2)


@pytest.mark.parametrize("kind", KINDS)
def test_equal_circuits_give_equal_files(kind):
    one, other = (circuit_picture(crz_ring_ansatz(4, 2), kind) for _ in range(2))
    assert one == other
    assert kind != "svg" or ET.fromstring(one).tag == "{http://www.w3.org/2000/svg}svg"


@pytest.mark.parametrize(("qubits", "layers"), [(1, 1), (4, 2), (10, 10)])
def test_the_png_is_a_picture_that_leaves_a_margin(qubits, layers):
    content = circuit_picture(crz_ring_ansatz(qubits, layers), "png")
    picture = np.asarray(Image.open(io.BytesIO(content)).convert("L"))
    assert picture.min() < 60
    edge = np.concatenate([picture[:4].ravel(), picture[-4:].ravel(), picture[:, :4].ravel(), picture[:, -4:].ravel()])
    assert (edge == 255).all()  # nothing is cut off
