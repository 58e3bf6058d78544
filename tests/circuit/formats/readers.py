"""Other people's readers and simulators: a text or an object becomes expectation values, (n,) in float64."""

import numpy as np


def by_qiskit(circuit):
    """Of a QuantumCircuit without open angles: by its state vector, qubit by qubit."""
    from qiskit.quantum_info import Statevector

    state = Statevector(circuit.remove_final_measurements(inplace=False))
    return np.array([np.subtract(*state.probabilities([wire])) for wire in range(circuit.num_qubits)])


def qasm2_by_qiskit(text):
    import qiskit.qasm2

    return by_qiskit(qiskit.qasm2.loads(text))


def qasm3_by_qiskit(text, inputs=(), parameters=()):
    """Numbers are for what the text leaves open."""
    import qiskit.qasm3

    circuit = qiskit.qasm3.loads(text)
    numbers = named(inputs, parameters)
    return by_qiskit(circuit.assign_parameters({p: numbers[p.name] for p in circuit.parameters}))


def qasm3_by_pennylane(text, qubits, inputs=(), parameters=()):
    """PennyLane's reader knows the standard gates by itself, and no includes."""
    import pennylane

    wires = [f"q[{wire}]" for wire in range(qubits)]
    read = pennylane.from_qasm3(text.replace('include "stdgates.inc";\n', ""))

    @pennylane.qnode(pennylane.device("default.qubit", wires=wires))
    def node():
        read(**named(inputs, parameters))
        return [pennylane.expval(pennylane.Z(wire)) for wire in wires]

    return np.array(node(), dtype=float)


def qasm2_by_origin(text, qubits):
    from pyqpanda3.intermediate_compiler import convert_qasm_string_to_qprog

    return by_origin(convert_qasm_string_to_qprog(text), qubits)


def originir_by_origin(text, qubits):
    from pyqpanda3.intermediate_compiler import convert_originir_string_to_qprog

    return by_origin(convert_originir_string_to_qprog(text), qubits)


def by_origin(program, qubits):
    """By the state vector of pyqpanda3's simulator, which ends before the measurements are made.

    In its order the first qubit is the least significant; qubits above the last one used are absent.
    """
    from pyqpanda3.core import CPUQVM

    machine = CPUQVM()
    machine.run(program, 1)
    state = np.array(machine.result().get_state_vector())
    padded = np.zeros(2**qubits)
    padded[: len(state)] = np.abs(state) ** 2
    by_qubit = padded.reshape([2] * qubits).T
    return np.array([np.subtract(*np.moveaxis(by_qubit, wire, 0).reshape(2, -1).sum(1)) for wire in range(qubits)])


def counts_by_qiskit(circuit, shots=20):
    """Of measured bits; bit 0 stands last."""
    from qiskit.primitives import StatevectorSampler

    return StatevectorSampler().run([circuit], shots=shots).result()[0].data.b.get_counts()


def originir_counts(text, shots=20):
    """Of measured bits; bit 0 stands last."""
    from pyqpanda3.core import CPUQVM
    from pyqpanda3.intermediate_compiler import convert_originir_string_to_qprog

    machine = CPUQVM()
    machine.run(convert_originir_string_to_qprog(text), shots)
    return machine.result().get_counts()


def named(inputs, parameters):
    """Numbers by the names that an open text has for them."""
    return {f"{letter}{i}": float(v) for letter, row in (("c", inputs), ("t", parameters)) for i, v in enumerate(row)}
