"""Circuits of any kind by the compiled engine, against PennyLane, finite differences and the reference."""

import random

import numpy as np
import pytest
import torch

from qweft.circuit import expectation_values, gate_by_gate
from qweft.circuit.cpu import compiled
from qweft.circuit.description import Circuit, c, circuit_of, hardware_efficient_ansatz, t
from qweft.circuit.formats import from_openqasm3, to_openqasm3, to_pennylane
from qweft.circuit.gates import GATES
from qweft.core.errors import QweftError


def random_circuit(seed):
    """Up to 25 gates of all kinds on up to 6 qubits, with angles, amplitudes and measurements of all kinds."""
    draw = random.Random(seed)
    qubits = draw.randint(1, 6)

    def angle():
        if draw.random() < 0.15:
            return draw.uniform(-3, 3)
        return draw.choice([1, 1, 2, -0.7]) * (c(draw.randrange(3)) if draw.random() < 0.5 else t(draw.randrange(6)))

    rows = [("ry", 0, c(0))]
    for _ in range(draw.randint(1, 25)):
        name = draw.choice([*GATES, "rot"])
        wires = 1 if name == "rot" else GATES[name].wires
        if wires <= qubits:
            angles = [angle() for _ in range(3 if name == "rot" else GATES[name].has_angle)]
            rows.append((name, *draw.sample(range(qubits), wires), *angles))
    products = [
        " ".join(f"{draw.choice('XYZ')}{wire}" for wire in draw.sample(range(qubits), draw.randint(1, min(qubits, 3))))
        for _ in range(draw.randint(1, 4))
    ]
    measured = draw.choice(["Z", "probabilities", products, products])
    return circuit_of(qubits, *rows, measured=measured, amplitudes=draw.choice([0, 0, 2**qubits, 2**qubits - 1]))


def numbers(circuit, seed, tokens=3, dtype=torch.float64):
    draw = torch.Generator().manual_seed(seed)
    shapes = (tokens, circuit.inputs), (circuit.parameters,), (tokens, circuit.outputs)
    x, angles, weights = (torch.randn(shape, generator=draw, dtype=dtype) for shape in shapes)
    return x.requires_grad_(), angles.requires_grad_(), weights


def with_gradients(values, x, angles, weights):
    found = torch.autograd.grad((values * weights).sum(), (x, angles), allow_unused=True)
    return [
        values.detach(),
        *(torch.zeros_like(a) if g is None else g for a, g in zip((x, angles), found, strict=True)),
    ]


@pytest.mark.parametrize("first", range(0, 500, 50))
def test_random_circuits_equal_pennylanes(first):
    pennylane = pytest.importorskip("pennylane")
    for seed in range(first, first + 50):
        circuit = random_circuit(seed)
        x, angles, weights = numbers(circuit, seed)
        found = with_gradients(expectation_values(circuit, x, angles), x, angles, weights)
        node = pennylane.QNode(
            to_pennylane(circuit), pennylane.device("default.qubit", wires=circuit.qubits), interface="torch"
        )
        theirs = torch.stack([torch.cat([each.reshape(-1) for each in node(row, angles)]) for row in x])
        wanted = with_gradients(theirs.double(), x, angles, weights)
        for mine, other in zip(found, wanted, strict=True):
            torch.testing.assert_close(mine, other, rtol=0, atol=1e-10, msg=f"seed {seed}: {circuit}")


@pytest.mark.parametrize("seed", range(20))
def test_gradients_are_finite_differences_and_those_of_plain_pytorch(seed, monkeypatch):
    circuit = random_circuit(1000 + seed)
    x, angles, weights = numbers(circuit, seed, tokens=2)
    torch.autograd.gradcheck(lambda *a: expectation_values(circuit, *a), (x, angles), raise_exception=True)
    found = with_gradients(expectation_values(circuit, x, angles), x, angles, weights)
    plain = with_gradients(gate_by_gate(circuit, x, angles), x, angles, weights)
    for mine, other in zip(found, plain, strict=True):
        torch.testing.assert_close(mine, other, rtol=0, atol=1e-12)
    monkeypatch.setattr(compiled, "available", lambda: False)
    parts = with_gradients(expectation_values(circuit, x, angles), x, angles, weights)
    for mine, other in zip(parts, plain, strict=True):
        torch.testing.assert_close(mine, other, rtol=0, atol=1e-12)


def test_second_derivatives():
    circuit = random_circuit(7)
    x, angles, _ = numbers(circuit, 7, tokens=2)
    torch.autograd.gradgradcheck(lambda *a: expectation_values(circuit, *a), (x, angles))


@pytest.mark.parametrize("tokens", [1, 16, 100])
def test_many_tokens_and_twelve_qubits_in_float32(tokens):
    circuit = hardware_efficient_ansatz(12, 1)
    x, angles, weights = numbers(circuit, 1, tokens, torch.float32)
    found = with_gradients(expectation_values(circuit, x, angles), x, angles, weights)
    wanted = with_gradients(gate_by_gate(circuit, x, angles), x, angles, weights)
    for mine, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=2e-5)


def test_a_circuit_goes_through_text_and_torch_compile():
    circuit = random_circuit(3)
    assert Circuit.from_text(circuit.text) == circuit
    x, angles, weights = numbers(circuit, 3)
    eager = with_gradients(expectation_values(circuit, x, angles), x, angles, weights)
    compiled = torch.compile(lambda *a: 2 * expectation_values(circuit, *a), fullgraph=True, backend="aot_eager")
    for mine, other in zip(with_gradients(compiled(x, angles) / 2, x, angles, weights), eager, strict=True):
        torch.testing.assert_close(mine, other)


@pytest.mark.parametrize(
    ("rows", "measured", "message"),
    [
        ([("swap", 0, 1)], "Z", "unknown gate 'swap'"),
        ([("ry", 5, c(0))], "Z", r"ry on qubits \(5,\) of a circuit with 2 qubits"),
        ([("ry", 0)], "Z", "ry takes 1 qubit and an angle"),
        ([("h", 0, c(0))], "Z", "h takes 1 qubit and no angle"),
        ([("cnot", 1, 1)], "Z", "2 distinct qubits"),
        ([("h", 0)], ["Q0"], "Q0 is not X, Y or Z"),
        ([("h", 0)], "X", "not 'Z', 'probabilities' or products"),
    ],
)
def test_a_malformed_circuit_gets_one_sentence(rows, measured, message):
    with pytest.raises(QweftError, match=message):
        circuit_of(2, *rows, measured=measured)


def test_a_row_of_zero_amplitudes_gives_zeros():
    circuit = circuit_of(2, ("ry", 0, t(0)), amplitudes=4)
    values = expectation_values(circuit, torch.zeros(1, 4, dtype=torch.float64), torch.ones(1, dtype=torch.float64))
    np.testing.assert_array_equal(values, np.zeros((1, 2)))


@pytest.mark.parametrize("measured", ["Z", ["Z2", "Z0"], ["Z1"]])
def test_a_program_is_read_back_with_its_outputs(measured):
    circuit = circuit_of(
        3, ("ry", 0, 2 * c(0)), ("crx", 0, 1, -t(0)), ("cnot", 1, 2), ("rz", 2, 0.3), measured=measured
    )
    assert from_openqasm3(to_openqasm3(circuit)) == circuit


def test_outputs_are_in_the_order_of_their_bits():
    text = "OPENQASM 3.0; qubit[2] q; bit[2] b; x q[0]; b[1] = measure q[0]; b[0] = measure q[1];"
    assert from_openqasm3(text).measured == ("Z1", "Z0")
