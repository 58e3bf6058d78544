"""A compiled circuit does what ours does, on the chip's gates and neighbours alone."""

import numpy as np
import pytest
import torch

pytest.importorskip("qiskit")
from qiskit import QuantumCircuit
from qiskit.quantum_info import Statevector

from qweft.circuit import crz_ring_ansatz, final_states
from qweft.devices.chips import CHIPS, compile_for_chip, find_chip


def small(compiled, places):
    """A compiled circuit on the qubits that it uses, those of `places` first."""
    used = {compiled.find_bit(qubit).index for step in compiled.data for qubit in step.qubits}
    order = [*places, *sorted(used - set(places))]
    found = QuantumCircuit(len(order), global_phase=compiled.global_phase)
    for step in compiled.data:
        found.append(step.operation, [order.index(compiled.find_bit(qubit).index) for qubit in step.qubits])
    return found, order


def columns(compiled, made, qubits):
    """The compiled circuit as a unitary of our qubits, qubit 0 the most significant bit; ancillas stay |0>."""
    circuit, order = small(compiled, list(dict.fromkeys([*made.start, *made.end])))
    starts, ends = ([order.index(place) for place in places] for places in (made.start, made.end))
    found = []
    for number in range(2**qubits):
        bits = [(number >> (qubits - 1 - qubit)) & 1 for qubit in range(qubits)]
        begin = sum(bit << starts[qubit] for qubit, bit in enumerate(bits))
        state = Statevector.from_int(begin, 2 ** len(order)).evolve(circuit).data
        column = np.zeros(2**qubits, dtype=complex)
        for out in range(2**qubits):
            index = sum(((out >> (qubits - 1 - qubit)) & 1) << ends[qubit] for qubit in range(qubits))
            column[out] = state[index]
        found.append(column)
    return np.stack(found, 1)


def ours(circuit, inputs, angles):
    """The same of our description: RY and CRZ as matrices, no simulator of this package."""
    n = circuit.qubits
    whole = np.eye(2**n, dtype=complex)
    for gate in circuit.gates:
        t = (inputs if gate.source == "input" else angles)[gate.index]
        if gate.name == "ry":
            turn = np.array([[np.cos(t / 2), -np.sin(t / 2)], [np.sin(t / 2), np.cos(t / 2)]])
            wire = gate.wires[0]
            matrix = np.kron(np.kron(np.eye(2**wire), turn), np.eye(2 ** (n - 1 - wire)))
        else:
            control, target = ((np.arange(2**n) >> (n - 1 - wire)) & 1 for wire in gate.wires)
            matrix = np.diag(np.where(control == 1, np.exp(1j * t / 2 * (2 * target - 1)), 1))
        whole = matrix @ whole
    return whole


@pytest.mark.parametrize("chip", [*CHIPS, "qiskit:fake_torino"])
@pytest.mark.parametrize(("qubits", "layers", "reupload"), [(3, 2, True), (4, 1, False), (1, 2, True)])
def test_the_unitary_is_ours_and_gates_are_the_chips(chip, qubits, layers, reupload):
    circuit = crz_ring_ansatz(qubits, layers, reupload)
    draws = np.random.default_rng(qubits)
    inputs, angles = draws.normal(size=qubits), draws.uniform(-3, 3, circuit.parameters)
    place = find_chip(chip)
    expected = ours(circuit, inputs, angles)
    state = final_states(circuit, torch.tensor(inputs)[None], torch.tensor(angles)).numpy()[0]
    assert np.allclose(expected[:, 0], state)
    for given in (inputs, None):
        compiled, made = compile_for_chip(place, circuit, given, angles)
        bound = compiled.assign_parameters(inputs.tolist()) if given is None else compiled
        found = columns(bound, made, qubits)
        phase = np.vdot(found.ravel(), expected.ravel()) / 2**qubits
        assert abs(phase) == pytest.approx(1, abs=1e-9)
        np.testing.assert_allclose(found * phase, expected, atol=1e-8)
        pairs = [step for step in compiled.data if len(step.qubits) == 2]
        assert made.counts.two_qubit == len(pairs) == compiled.num_nonlocal_gates()
        assert made.counts.depth == compiled.depth()
        assert set(made.counts.gates) <= set(made.native)
