"""Circuits and angles that exports are tested on, and what other programs say of them."""

import numpy as np
import torch
from hypothesis import strategies as st

from qweft.circuit import Circuit, Gate, crz_ring_ansatz, expectation_values

ANSATZES = [crz_ring_ansatz(n, 2, reupload) for n in range(1, 7) for reupload in (True, False)]


@st.composite
def circuits(draw):
    """Circuits of any gates on at most five qubits, fed by inputs and parameters at random."""
    qubits = draw(st.integers(1, 5))
    gates = []
    for _ in range(draw(st.integers(1, 20))):
        source = draw(st.sampled_from(["input", "parameter"]))
        wires = draw(st.permutations(range(qubits)))
        name = draw(st.sampled_from(["ry", "crz"])) if qubits > 1 else "ry"
        gates.append(Gate(name, tuple(wires[: 1 if name == "ry" else 2]), source, draw(st.integers(0, 3))))
    return Circuit(qubits, 4, 4, tuple(gates))


def numbers(circuit, seed):
    """Inputs and parameters, one of each so small that it is written with an exponent."""
    draws = np.random.default_rng(seed)
    inputs, parameters = draws.normal(size=circuit.inputs) * 2, draws.uniform(-4, 4, circuit.parameters)
    inputs[0], parameters[0] = inputs[0] * 1e-6, parameters[0] * 1e-7
    return inputs, parameters


def exact(circuit, inputs, parameters):
    """Our own expectation values."""
    return expectation_values(circuit, torch.from_numpy(inputs)[None], torch.from_numpy(parameters))[0].numpy()


def qiskit_values(circuit):
    """Expectation of Z on each qubit of a Qiskit circuit."""
    from qiskit.quantum_info import Statevector

    return little_endian(Statevector(circuit.remove_final_measurements(inplace=False)).data)


def origin_values(program):
    """Expectation of Z on each qubit of a pyqpanda3 program that measures nothing."""
    from pyqpanda3.core import CPUQVM

    machine = CPUQVM()
    machine.run(program, 1)
    return little_endian(machine.result().get_state_vector())


def little_endian(amplitudes):
    """Expectation of Z from amplitudes whose index has qubit 0 as its least significant bit."""
    probabilities = np.abs(np.asarray(amplitudes)) ** 2
    outcomes = np.arange(len(probabilities))
    qubits = len(probabilities).bit_length() - 1
    return np.array([(probabilities * (1 - 2 * (outcomes >> i & 1))).sum() for i in range(qubits)])
