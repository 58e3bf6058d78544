"""Entanglement and expressibility against states whose values are known, partial traces and PennyLane."""

import math

import pennylane
import pytest
import torch

from qweft.circuit import Circuit, Gate, crz_ring_ansatz, final_states
from qweft.inspect.states import (
    BINS,
    ansatz_expressibility,
    expressibility,
    haar_log_shares,
    meyer_wallach,
)


def basis(n, *places):
    """An equal superposition of basis states."""
    state = torch.zeros(1, 2**n, dtype=torch.complex128)
    state[0, list(places)] = len(places) ** -0.5
    return state


def haar(count, n, seed=0):
    """Random states: normalised complex Gaussian vectors."""
    generator = torch.Generator().manual_seed(seed)
    states = torch.randn(count, 2**n, dtype=torch.complex128, generator=generator)
    return states / states.norm(dim=1, keepdim=True)


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (basis(3, 0), 0),
        (basis(3, 0, 1, 2, 3, 4, 5, 6, 7), 0),
        (basis(2, 0, 3), 1),
        (basis(4, 0, 15), 1),  # GHZ
        (basis(3, 1, 2, 4), 8 / 9),  # W: rho_k = diag(2/3, 1/3)
        (basis(3, 0, 6), 2 / 3),  # a Bell pair and a qubit alone
    ],
)
def test_entanglement_of_known_states(state, expected):
    found = float(meyer_wallach(state))
    assert found == pytest.approx(expected)
    assert 0 <= found <= 1


@pytest.mark.parametrize(("qubits", "layers"), [(2, 1), (3, 2), (4, 2)])
def test_entanglement_of_a_circuit_by_pennylane(qubits, layers):
    circuit = crz_ring_ansatz(qubits, layers)
    generator = torch.Generator().manual_seed(qubits)
    c = torch.randn(3, qubits, dtype=torch.float64, generator=generator)
    angles = torch.randn(circuit.parameters, dtype=torch.float64, generator=generator)

    @pennylane.qnode(pennylane.device("default.qubit", wires=qubits))
    def purities(row):
        for gate in circuit.gates:
            angle = float((row if gate.source == "input" else angles)[gate.index])
            {"ry": pennylane.RY, "crz": pennylane.CRZ}[gate.name](angle, wires=list(gate.wires))
        return [pennylane.purity(wire) for wire in range(qubits)]

    wanted = [2 * (1 - sum(map(float, purities(row))) / qubits) for row in c]
    assert meyer_wallach(final_states(circuit, c, angles)).tolist() == pytest.approx(wanted)


def test_the_shares_of_haar_are_its_integral():
    """Against a numerical integral of the density."""
    n, steps = 8, 20_000
    edges = torch.linspace(0, 1, BINS * steps + 1, dtype=torch.float64)
    middles = (edges[1:] + edges[:-1]) / 2
    density = (n - 1) * (1 - middles) ** (n - 2)
    integral = (density / (BINS * steps)).reshape(BINS, steps).sum(1)
    torch.testing.assert_close(haar_log_shares(n).exp(), integral, rtol=1e-6, atol=1e-12)
    assert haar_log_shares(1024).isfinite().all()


@pytest.mark.parametrize("n", [1, 3, 4])
def test_random_states_are_near_zero_nats(n):
    assert expressibility(haar(256, n)) < 0.01


@pytest.mark.parametrize("n", [1, 4, 10])
def test_states_that_are_all_one(n):
    """The last bin alone, whose share under Haar is (1/75)^(N - 1)."""
    assert expressibility(basis(n, 1).repeat(5, 1)) == pytest.approx((2**n - 1) * math.log(BINS))


def test_a_circuit_that_turns_one_angle_covers_less_than_the_ansatz():
    """RY alone stays on a circle: F = cos^2 of a uniform angle, P(F) = 1 / (pi sqrt(F (1 - F))) against a flat one."""
    circle = Circuit(1, 1, 1, (Gate("ry", (0,), "parameter", 0),))
    edges = torch.linspace(0, 1, BINS + 1, dtype=torch.float64)
    shares = (edges.sqrt().asin() * 2 / math.pi).diff()
    assert ansatz_expressibility(circle, 1024) == pytest.approx(float((shares * (shares * BINS).log()).sum()), abs=0.02)
    assert ansatz_expressibility(crz_ring_ansatz(4, 4), 256) < 0.02
