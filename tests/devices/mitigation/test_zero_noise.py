"""More noise on purpose, and what would be measured without."""

import dataclasses

import numpy as np
import pytest

from qweft.devices import make_device
from qweft.devices.mitigation import make_mitigation
from qweft.devices.mitigation.estimate import Estimate
from qweft.devices.mitigation.zero_noise import EXTRAPOLATIONS, extrapolate, folded
from tests.devices.providers.forms import circuits

qml = pytest.importorskip("pennylane")


def exact(some):
    return make_device("exact").run(some, None).expectations()


def operations(some):
    return [
        (qml.RY if name == "ry" else qml.CRZ)(angle, wires=wires)
        for (name, wires), angle in zip(some.gates, some.angles[0].tolist(), strict=True)
    ]


@pytest.mark.parametrize("factor", [1, 3, 5])
def test_folding_is_pennylanes(factor):
    """The same gates with the same angles in the same order."""
    some = circuits(1)
    (tape,), _ = qml.noise.fold_global(qml.tape.QuantumScript(operations(some)), factor)
    expected = [qml.simplify(one) if one.name.startswith("Adjoint") else one for one in tape.operations]
    found = operations(folded(some, factor))
    assert [(one.name, one.wires) for one in found] == [(one.name, one.wires) for one in expected]
    turn = [(a.data[0] - b.data[0]) / (4 * np.pi) for a, b in zip(found, expected, strict=True)]
    np.testing.assert_allclose(turn, np.round(turn), atol=1e-12)  # PennyLane takes angles modulo 4 pi


def test_folded_circuits_are_the_same_unitary_with_barriers_between():
    some = circuits(3)
    five = folded(some, 5)
    np.testing.assert_allclose(exact(five), exact(some), rtol=0, atol=1e-12)
    count = len(some.gates)
    assert five.barriers == (count, 2 * count, 3 * count, 4 * count)
    assert folded(some, 1).keys() == some.keys()  # measured once, folded or not


@pytest.mark.parametrize("name", EXTRAPOLATIONS)
def test_extrapolation_is_pennylanes_on_every_value(name):
    generator = np.random.default_rng(0)
    values = 0.5 + generator.random((3, 4, 2)) * np.array([0.3, 0.2, 0.1])[:, None, None]
    measured = [Estimate(row, np.zeros_like(row)) for row in values]
    found = extrapolate(name, (1, 3, 5), measured).values
    functions = {
        "richardson": qml.noise.richardson_extrapolate,
        "linear": lambda x, y: qml.noise.poly_extrapolate(x, y, 1),
        "quadratic": lambda x, y: qml.noise.poly_extrapolate(x, y, 2),
        "exponential": qml.noise.exponential_extrapolate,
    }
    points = np.array([1.0, 3.0, 5.0])
    expected = [[functions[name](points, values[:, i, j]) for j in range(2)] for i in range(4)]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", EXTRAPOLATIONS)
def test_standard_errors_are_how_far_it_scatters(name):
    generator = np.random.default_rng(1)
    true = np.array([0.8, 0.6, 0.45])[:, None, None]
    errors = [np.full((1, 1), size) for size in (0.004, 0.006, 0.008)]

    def drawn():
        return [Estimate(t + generator.normal(0, e, t.shape), e) for t, e in zip(true, errors, strict=True)]

    many = [extrapolate(name, (1, 3, 5), drawn()) for _ in range(400)]
    spread = np.std([one.values for one in many])
    assert spread == pytest.approx(many[0].standard_errors.item(), rel=0.15)


def test_what_will_run_is_told_before():
    """For a budget: every circuit that the runner is asked for, and no other."""
    some, asked = circuits(3), []
    inner = make_device("noisy")

    class Runner:
        def run(self, more, shots):
            asked.append(more)
            return inner.run(more, shots)

    for arguments in [(None, None), ("inverse", None), ("inverse", (1, 3))]:
        asked.clear()
        mitigation = make_mitigation(*arguments, "linear")
        mitigation.expectations(Runner(), some, 100)
        assert [one.keys() for one in asked] == [one.keys() for one in mitigation.runs(some)]


def test_the_chips_qubits_that_are_calibrated_are_told_to_its_compiler():
    some = circuits(1)
    for run in make_mitigation("inverse", (1, 3), "linear").runs(some):
        if run.placed_like is not None:
            assert run.placed_like[0] in (some.gates, folded(some, 3).gates)
            assert run.keys() != dataclasses.replace(run, placed_like=None).keys()
