"""The gated core, h = (1 + Q q(t)) * c: against the circuit gate by gate, at any size of c."""

import pytest
import torch

from qweft import QwthnConfig
from qweft.adapter.cores import make_core
from qweft.adapter.functions import FUNCTIONS
from qweft.circuit import gate_by_gate


def core_of(function="quantum", r=4, layers=2, reupload=True, qubits=None):
    torch.manual_seed(5)
    config = QwthnConfig(core=f"{function}_gated", r=r, circuit_layers=layers, reupload=reupload, qubits=qubits)
    core = make_core(config.resolved())
    core.reset("recorded")
    core.randomise()
    return core.double()


def applied(core, c):
    return core.features(c, *core.angles_of(core.tensors()))


@pytest.mark.parametrize("reupload", [True, False])
@pytest.mark.parametrize("qubits", [None, 2])
def test_it_is_the_formula(qubits, reupload):
    core = core_of(qubits=qubits, reupload=reupload)
    c = torch.randn(30, 4, dtype=torch.float64)
    read = c[:, : qubits or 4]
    uploads = 2 if reupload else 1
    t = read / (uploads * read.square().mean(1, keepdim=True)).sqrt()
    q = gate_by_gate(core.circuit, t, core.angles.detach())
    torch.testing.assert_close(applied(core, c), (1 + q @ core.quantum_weight.T) * c, rtol=1e-9, atol=1e-9)
    assert core.quantum_weight.shape == (4, qubits or 4)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_an_input_of_zero_has_an_output_and_gradients(function):
    core = core_of(function)
    c = torch.zeros(3, 4, dtype=torch.float64, requires_grad=True)
    h = applied(core, c)
    assert not h.any()
    h.sum().backward()
    assert torch.isfinite(c.grad).all()
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in core.parameters())


@pytest.mark.parametrize("function", FUNCTIONS)
def test_gradients_are_those_of_finite_differences(function):
    core = core_of(function)
    c = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda c: applied(core, c), (c,))


def test_what_measures_the_circuit_elsewhere_is_given_the_angles():
    """On shots and chips: the circuit's input is t, not c."""
    core = core_of()
    c = 50 * torch.randn(30, 4, dtype=torch.float64)
    exact = applied(core, c)
    seen = []

    def measure(circuit, t, angles):
        seen.append(t)
        return gate_by_gate(circuit, t, angles.detach())

    core.measured_by = measure
    torch.testing.assert_close(applied(core, c), exact, rtol=1e-9, atol=1e-9)
    rms = seen[0].square().mean(1).sqrt()
    torch.testing.assert_close(rms, torch.full_like(rms, 2**-0.5))  # two uploads
