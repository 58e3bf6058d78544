"""The final state against PennyLane's, and with angles of its own for every token."""

import pennylane
import pytest
import torch

from qweft.circuit import crz_ring_ansatz, final_states


def by_pennylane(circuit, inputs, parameters):
    """(2^n,) of one token."""

    @pennylane.qnode(pennylane.device("default.qubit", wires=circuit.qubits))
    def node():
        for gate in circuit.gates:
            angle = float((inputs if gate.source == "input" else parameters)[gate.index])
            {"ry": pennylane.RY, "crz": pennylane.CRZ}[gate.name](angle, wires=list(gate.wires))
        return pennylane.state()

    return torch.as_tensor(node())


@pytest.mark.parametrize(("qubits", "layers", "reupload"), [(1, 2, True), (2, 1, False), (3, 2, True), (4, 3, False)])
def test_equals_pennylane(qubits, layers, reupload):
    circuit = crz_ring_ansatz(qubits, layers, reupload)
    generator = torch.Generator().manual_seed(qubits)
    inputs = torch.randn(5, circuit.inputs, dtype=torch.float64, generator=generator) * 2
    parameters = torch.randn(circuit.parameters, dtype=torch.float64, generator=generator) * 2
    wanted = torch.stack([by_pennylane(circuit, row, parameters) for row in inputs])
    torch.testing.assert_close(final_states(circuit, inputs, parameters), wanted, rtol=0, atol=1e-12)


def test_every_token_may_have_angles_of_its_own():
    circuit = crz_ring_ansatz(3, 2)
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(4, circuit.inputs, dtype=torch.float64, generator=generator)
    parameters = torch.randn(4, circuit.parameters, dtype=torch.float64, generator=generator)
    wanted = torch.cat([final_states(circuit, inputs[i : i + 1], parameters[i]) for i in range(4)])
    assert torch.equal(final_states(circuit, inputs, parameters), wanted)
