"""Errors in reading out taken back, and more noise on purpose to see what would be measured without."""

import dataclasses

import numpy as np
import pytest

from qweft.devices import DeviceError, Frequencies, make_device
from qweft.devices.mitigation import (
    ORDERS,
    calibration_circuits,
    confusion_matrices,
    extrapolation_weights,
    fold_circuits,
    make_mitigation,
)
from qweft.devices.outcomes import on_each_qubit
from tests.devices.providers.forms import circuits

MATRICES = np.array([[[0.95, 0.05], [0.1, 0.9]], [[0.99, 0.01], [0.2, 0.8]], [[0.85, 0.15], [0.02, 0.98]]])


class Misread:
    """The exact circuit, read out with errors that differ by qubit."""

    def run(self, some, shots):
        return Frequencies(on_each_qubit(probabilities(some), MATRICES), None)


def probabilities(some):
    return make_device("exact").run(some, None).values


def exact(some):
    return make_device("exact").run(some, None).expectations()


def test_every_qubits_matrix_acts_on_that_qubit():
    """Against the Kronecker product, which it stands for."""
    values = np.random.default_rng(0).dirichlet(np.ones(8), 4)
    whole = np.kron(np.kron(MATRICES[0], MATRICES[1]), MATRICES[2])
    np.testing.assert_allclose(on_each_qubit(values, MATRICES), values @ whole, rtol=0, atol=1e-15)


def test_independent_readout_errors_are_found_and_taken_back_exactly():
    some, runner = circuits(5), Misread()
    found = confusion_matrices(runner.run(calibration_circuits(some), None))
    np.testing.assert_allclose(found, MATRICES, rtol=0, atol=1e-12)
    assert abs(runner.run(some, None).expectations() - exact(some)).max() > 0.1
    corrected = make_mitigation(readout="inverse").expectations(runner, some, None)
    np.testing.assert_allclose(corrected, exact(some), rtol=0, atol=1e-12)


@pytest.mark.parametrize("factor", [1, 3, 5])
def test_folding_is_pennylanes(factor):
    """The same gates with the same angles in the same order."""
    qml = pytest.importorskip("pennylane")

    def operations(some):
        gates = zip(some.gates, some.angles[0].tolist(), strict=True)
        return [{"ry": qml.RY, "crz": qml.CRZ}[name](angle, wires=wires) for (name, wires), angle in gates]

    some = circuits(1)
    (tape,), _ = qml.noise.fold_global(qml.tape.QuantumScript(operations(some)), factor)
    expected = [qml.simplify(one) if one.name.startswith("Adjoint") else one for one in tape.operations]
    assert fold_circuits(some, factor).barriers == tuple(len(some.gates) * number for number in range(factor))
    found = operations(fold_circuits(some, factor))
    assert [(one.name, one.wires) for one in found] == [(one.name, one.wires) for one in expected]
    turn = [(a.data[0] - b.data[0]) / (4 * np.pi) for a, b in zip(found, expected, strict=True)]
    np.testing.assert_allclose(turn, np.round(turn), atol=1e-12)  # PennyLane takes angles modulo 4 pi


@pytest.mark.parametrize("name", ORDERS)
def test_extrapolation_is_pennylanes(name):
    qml = pytest.importorskip("pennylane")
    points, values = np.array([1.0, 3.0, 5.0]), np.random.default_rng(0).random((3, 20))
    order = {"richardson": 2, "linear": 1, "quadratic": 2}[name]
    expected = [qml.noise.poly_extrapolate(points, column, order) for column in values.T]
    np.testing.assert_allclose(extrapolation_weights(name, (1, 3, 5)) @ values, expected, rtol=0, atol=1e-10)


def test_noise_that_falls_in_a_line_is_extrapolated_to_none():
    class Falling:
        """Probabilities whose distance to the exact ones grows with the number of gates."""

        def run(self, some, shots):
            values = probabilities(some)
            return Frequencies(values + 0.01 * some.folds * (1 / 8 - values), None)

    for name in ORDERS:
        found = make_mitigation(None, (1, 3, 5), name).expectations(Falling(), circuits(4), None)
        np.testing.assert_allclose(found, exact(circuits(4)), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("m4",), "m4"),
        ((None, (1, 2)), "odd"),
        ((None, (1, 1)), "odd"),
        ((None, (1, 3), "cubic"), "cubic"),
        ((None, (1, 3), "quadratic"), "needs 3"),
    ],
)
def test_wrong_arguments(arguments, word):
    with pytest.raises(DeviceError, match=word):
        make_mitigation(*arguments)


def test_what_will_run_is_known_before_and_calibrated_where_it_ends():
    """For a budget: every circuit that the runner is asked for, and no other."""
    some, asked = circuits(3), []

    class Runner:
        def run(self, more, shots):
            asked.append(more)
            return make_device("noisy").run(more, shots)

    for arguments in [(None, None), ("inverse", None), ("inverse", (1, 3))]:
        asked.clear()
        mitigation = make_mitigation(*arguments, "linear")
        mitigation.expectations(Runner(), some, 100)
        assert [one.keys() for one in asked] == [one.keys() for one in mitigation.runs(some)]
    for run in asked[::2]:
        assert run.placed_like.gates in (some.gates, fold_circuits(some, 3).gates)
        assert run.keys() != dataclasses.replace(run, placed_like=None).keys()
