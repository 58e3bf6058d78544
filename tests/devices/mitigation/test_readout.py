"""Errors in reading out, taken back."""

import numpy as np
import pytest

from qweft.devices import Frequencies, make_device
from qweft.devices.mitigation import make_mitigation
from qweft.devices.mitigation.readout import calibration_circuits, confusion_matrices
from qweft.devices.outcomes import on_each_qubit
from qweft.devices.simulators import probabilities
from tests.devices.providers.forms import circuits

MATRICES = np.array([[[0.95, 0.05], [0.1, 0.9]], [[0.99, 0.01], [0.2, 0.8]], [[0.85, 0.15], [0.02, 0.98]]])


class Misread:
    """The exact circuit, read out with errors that differ by qubit."""

    def __init__(self, matrices=MATRICES, seed=0):
        self.matrices, self.draws, self.ran = matrices, np.random.default_rng(seed), 0

    def run(self, some, shots):
        self.ran += len(some)
        found = on_each_qubit(probabilities(some), self.matrices)
        if shots is None:
            return Frequencies(found, None)
        return Frequencies(np.stack([self.draws.multinomial(shots, row) for row in found]) / shots, shots)


def exact(some):
    return make_device("exact").run(some, None).expectations()


def test_every_qubits_matrix_acts_on_that_qubit():
    """Against the Kronecker product, which it stands for."""
    values = np.random.default_rng(0).dirichlet(np.ones(8), 4)
    whole = np.kron(np.kron(MATRICES[0], MATRICES[1]), MATRICES[2])
    np.testing.assert_allclose(on_each_qubit(values, MATRICES), values @ whole, rtol=0, atol=1e-15)


def test_the_calibration_finds_the_matrices():
    found = confusion_matrices(Misread().run(calibration_circuits(circuits(1)), None))
    np.testing.assert_allclose(found, MATRICES, rtol=0, atol=1e-12)


def test_independent_errors_are_taken_back_exactly():
    some, runner = circuits(5), Misread()
    assert abs(runner.run(some, None).expectations() - exact(some)).max() > 0.1
    found = make_mitigation(readout="inverse").expectations(runner, some, None)
    np.testing.assert_allclose(found, exact(some), rtol=0, atol=1e-12)
    assert runner.ran == 5 + 5 + 2


def test_mthree_gives_the_same():
    """Where every outcome came: mthree solves among those that did."""
    pytest.importorskip("mthree")
    some = circuits(4)
    methods = [make_mitigation(readout=name) for name in ("inverse", "m3")]
    found = [method.expectations(Misread(seed=3), some, 100_000) for method in methods]
    np.testing.assert_allclose(*found, rtol=0, atol=1e-6)
    np.testing.assert_allclose(found[1], exact(some), rtol=0, atol=0.02)


def test_standard_errors_are_how_far_it_scatters():
    """The calibration's own chance is in them: a hundred experiments, each with its own."""
    some, shots = circuits(6), 150
    mitigation = make_mitigation(readout="inverse")
    estimates = [mitigation.estimate(Misread(seed=seed), some, shots) for seed in range(100)]
    scores = np.stack([(one.values - exact(some)) / one.standard_errors for one in estimates])
    assert 0.85 < scores.var() < 1.15
    plain = [Misread(seed=seed).run(some, shots).expectations() for seed in range(100)]
    assert np.var([one.values for one in estimates], 0).mean() > 1.2 * np.var(plain, 0).mean()
