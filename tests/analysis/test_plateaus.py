"""Variances of gradients against closed forms and finite differences."""

import math

import pytest
import torch
from benchmarks.plateaus import ansatz_variance, variances_of

from qweft.circuit import crz_ring_ansatz, gate_by_gate
from qweft.inspect import states


@pytest.mark.parametrize(
    ("start", "layers", "uploads_are_small"), [("recorded", 1, False), ("recorded", 3, False), ("scaled", 1, True)]
)
def test_one_qubit_is_a_cosine(start, layers, uploads_are_small):
    """z = cos(L c + sum of 2 L angles), so d z = -sin of it, for all angles alike.

    With any uniform angle its variance is 1/2. Scaled, x = c + t1 + t2 is symmetric, and the variance
    E sin^2 x = (1 - E cos 2x) / 2 with E cos 2x = exp(-2) (sin(pi/2) / (pi/2))^2.
    """
    found = ansatz_variance(1, layers, start, 4000)
    expected = (1 - math.exp(-2) * (2 / math.pi) ** 2) / 2 if uploads_are_small else 0.5
    assert found["mean"] == pytest.approx(expected, rel=0.03)
    assert found["first_rotation"] == pytest.approx(found["last_rotation"]) == pytest.approx(found["mean"])
    assert found["first_phase"] is None


def test_the_gradients_are_differences_of_the_plain_circuit(monkeypatch):
    """The same draws, by central differences of gate by gate."""
    circuit, draws, step = crz_ring_ansatz(3, 2), 20, 1e-5
    seen = []
    engine = states.expectation_values

    def watched(circuit, c, t):
        seen.append((c.clone(), t.detach().clone()))
        return engine(circuit, c, t)

    monkeypatch.setattr(states, "expectation_values", watched)
    found = variances_of(circuit, "scaled", 2, draws)
    gradients = torch.zeros(draws, circuit.parameters, dtype=torch.float64)
    for draw, (c, t) in enumerate(seen):
        for place in range(circuit.parameters):
            nudge = torch.zeros_like(t)
            nudge[place] = step
            up, down = (gate_by_gate(circuit, c, t + sign * nudge)[0, 0] for sign in (1, -1))
            gradients[draw, place] = (up - down) / (2 * step)
    variances = gradients.var(0)
    assert found["mean"] == pytest.approx(float(variances.mean()), rel=1e-6)
    # a layer is CRZ 0 1 2, RY 3 4 5, CRZ 6 7 8, RY 9 10 11
    assert found["first_phase"] == pytest.approx(float(variances[0]), rel=1e-6)
    assert found["first_rotation"] == pytest.approx(float(variances[3]), rel=1e-6)
    assert found["last_rotation"] == pytest.approx(float(variances[21]), rel=1e-6)
    assert all(t.abs().max() <= math.pi / 4 for _, t in seen)
