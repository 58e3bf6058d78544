"""The same circuits elsewhere: PennyLane, Aer and pyqpanda3 against the exact engine."""

import numpy as np
import pytest

from qweft.devices import DeviceError, DeviceSettings, make_device
from tests.devices.providers.forms import circuits
from tests.devices.providers.scores import check_scatter

SIMULATORS = {
    "pennylane:default.qubit": "pennylane",
    "pennylane:default.mixed": "pennylane",
    "pennylane:lightning.qubit": "pennylane_lightning",
    "qiskit:aer": "qiskit_aer",
    "origin:cpu": "pyqpanda3",
}


@pytest.fixture(params=SIMULATORS)
def name(request):
    pytest.importorskip(SIMULATORS[request.param])
    return request.param


@pytest.mark.parametrize(("qubits", "reupload"), [(1, True), (2, True), (3, False), (4, True)])
def test_every_outcome_has_its_probability(name, qubits, reupload):
    """No qubit can stand for another here: a turned order of bits or of control and target would show."""
    some = circuits(4, qubits, reupload=reupload)
    found = make_device(name).run(some, None)
    np.testing.assert_allclose(found.values, make_device("exact").run(some, None).values, rtol=0, atol=1e-9)
    assert found.shots is None


@pytest.mark.parametrize("name", [*SIMULATORS, "shots", "noisy"])
def test_shots_scatter_as_counting_does(name):
    pytest.importorskip(SIMULATORS.get(name, "numpy"))
    some = circuits(60)
    exact = make_device("noisy" if name == "noisy" else "exact").run(some, None).expectations()
    found = make_device(name, DeviceSettings(seed=1)).run(some, 400)
    check_scatter(found, exact)
    np.testing.assert_allclose(found.values * 400, (found.values * 400).round(), rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", [*SIMULATORS, "shots"])
def test_a_circuit_measures_the_same_whatever_is_beside_it(name):
    pytest.importorskip(SIMULATORS.get(name, "numpy"))
    some = circuits(6)
    device = make_device(name)
    whole = device.run(some, 300).values
    np.testing.assert_array_equal(device.run(some.pick([4, 1]), 300).values, whole[[4, 1]])
    other = DeviceSettings(seed=1)
    assert not np.array_equal(make_device(name, other).run(some, 300).values, whole)
    ours = make_device("shots").run(some, 300).values
    assert np.array_equal(ours, whole) == (name == "shots")  # as two chips would differ


def test_a_noise_model_is_for_noisy_alone(name):
    with pytest.raises(DeviceError, match="use noisy"):
        make_device(name, DeviceSettings(noise="paper"))
