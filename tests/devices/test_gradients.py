"""Gradients from shifted circuits."""

from functools import partial

import pytest
import torch

from qweft.circuit import Circuit, Gate, crz_ring_ansatz, expectation_values
from qweft.devices import DeviceSettings, Measurer, make_device
from qweft.devices.measure import gradient_circuits
from qweft.devices.noise import noise_model
from qweft.devices.noise.paulis import noisy_expectations

TWICE = Circuit(  # data that feeds a controlled phase, and angles that feed several gates of both kinds
    3,
    2,
    3,
    (
        Gate("ry", (0,), "parameter", 0),
        Gate("ry", (1,), "input", 0),
        Gate("crz", (0, 1), "input", 0),
        Gate("ry", (2,), "parameter", 1),
        Gate("crz", (2, 0), "parameter", 1),
        Gate("crz", (1, 2), "parameter", 1),
        Gate("ry", (1,), "input", 1),
        Gate("ry", (0,), "parameter", 2),
        Gate("ry", (2,), "parameter", 2),
    ),
)


class Counting:
    """A device that notes how many circuits each request had."""

    def __init__(self, name="exact"):
        self.device = make_device(name)
        self.requests = []

    def run(self, circuits, shots):
        self.requests.append(len(circuits))
        return self.device.run(circuits, shots)


def arguments(circuit, tokens=5):
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(tokens, circuit.inputs, dtype=torch.float64, generator=generator)
    angles = torch.randn(circuit.parameters, dtype=torch.float64, generator=generator)
    weights = torch.randn(tokens, circuit.qubits, dtype=torch.float64, generator=generator)
    return inputs.requires_grad_(), angles.requires_grad_(), weights


def gradients(values, weights, inputs, angles):
    return torch.autograd.grad((values * weights).sum(), (inputs, angles))


CIRCUITS = [crz_ring_ansatz(1, 2), crz_ring_ansatz(2, 2), crz_ring_ansatz(3, 2), crz_ring_ansatz(3, 1, False), TWICE]


@pytest.mark.parametrize("circuit", CIRCUITS)
@pytest.mark.parametrize(
    ("name", "engine"),
    [("exact", expectation_values), ("noisy", partial(noisy_expectations, model=noise_model("paper")))],
)
def test_on_a_device_without_shots_they_are_those_of_its_engine(circuit, name, engine):
    inputs, angles, weights = arguments(circuit)
    found = gradients(Measurer(make_device(name))(circuit, inputs, angles), weights, inputs, angles)
    expected = gradients(engine(circuit, inputs, angles), weights, inputs, angles)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_finite_differences():
    inputs, angles, _ = arguments(TWICE)
    measurer = Measurer(make_device("noisy"))
    assert torch.autograd.gradcheck(lambda x, t: measurer(TWICE, x, t), (inputs, angles), atol=1e-7)


def test_shots_scatter_around_the_exact_gradient():
    """z-scores of 200 seeds: the variance of a sum of independent shots follows from the rule's coefficients."""
    circuit = Circuit(
        2,
        1,
        1,
        (
            Gate("ry", (0,), "input", 0),
            Gate("ry", (1,), "input", 0),
            Gate("crz", (0, 1), "parameter", 0),
            Gate("ry", (1,), "input", 0),
        ),
    )
    shots = 300
    inputs = torch.tensor([[0.8]], dtype=torch.float64, requires_grad=True)
    angles = torch.tensor([1.1], dtype=torch.float64, requires_grad=True)
    weights = torch.tensor([[0.0, 1.0]], dtype=torch.float64)
    exact = gradients(expectation_values(circuit, inputs, angles), weights, inputs, angles)[1]
    measurers = [Measurer(make_device("shots", DeviceSettings(seed=seed)), shots) for seed in range(200)]
    values = [measurer(circuit, inputs, angles) for measurer in measurers]
    found = torch.stack([gradients(each, weights, inputs, angles)[1] for each in values])
    more, less = (2**0.5 + 1) / (4 * 2**0.5), (2**0.5 - 1) / (4 * 2**0.5)
    variance = 0.0
    for shift, coefficient in ((0.5, more), (-0.5, more), (1.5, less), (-1.5, less)):
        z = expectation_values(circuit, inputs, angles + shift * torch.pi)[0, 1].detach()
        variance += float(coefficient**2 * (1 - z**2) / shots)
    scores = (found - exact) / variance**0.5
    assert abs(scores.mean()) < 4 / 200**0.5
    assert 0.7 < scores.var() < 1.35  # 200 numbers of variance 1 have one of standard deviation 0.1


def test_only_what_is_asked_for_is_measured():
    circuit = crz_ring_ansatz(3, 1)
    inputs, angles, weights = arguments(circuit)
    weights[1:4] = 0
    device = Counting()
    values = Measurer(device)(circuit, inputs.detach(), angles)
    (values * weights).sum().backward()
    assert device.requests == [5, gradient_circuits(circuit, 2, inputs=False)]
    assert gradient_circuits(circuit, 2, inputs=False) + gradient_circuits(circuit, 2, parameters=False) == (
        gradient_circuits(circuit, 2)
    )
