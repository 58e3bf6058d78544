"""Aer with the noise of a chip: compiled once a form, folded circuits left as they are."""

import dataclasses

import numpy as np
import pytest

from qweft.devices import make_device
from qweft.devices.mitigation import calibration_circuits, confusion_matrices, fold_circuits, make_mitigation
from tests.devices.providers.forms import circuits

pytest.importorskip("qiskit_aer")
fakes = pytest.importorskip("qiskit_ibm_runtime.fake_provider")


@pytest.fixture(scope="module")
def manila():
    return make_device("qiskit:fake_manila")


@pytest.mark.parametrize("name", ["FakeLagosV2", "FakeTorino"])
def test_every_factor_runs_the_same_compiled_gates_on_the_same_qubits(name):
    """Compiled each by itself, foldings were routed over other qubits, and factor 3 had 3.06 times the gates."""
    from collections import Counter

    from qweft.devices.providers.qiskit.compilation import compile_form, measured_qubits

    backend = getattr(fakes, name)()
    for qubits in (3, 4, 5):
        for mitigation in (None, "inverse"):
            runs = make_mitigation(mitigation, (1, 3, 5), "linear").runs(circuits(1, qubits, 2, seed=qubits))
            compiled = [compile_form(backend, run) for run in runs]
            assert len({tuple(measured_qubits(one)) for one in compiled}) == 1
        noisy = [
            Counter(
                (step.operation.name, *(one.find_bit(qubit).index for qubit in step.qubits))
                for step in one.data
                if step.operation.name not in ("barrier", "measure", "rz")
            )
            for one, run in zip(compiled, runs, strict=True)
            if run.placed_like is None
        ]
        assert len(noisy) == 3 and noisy[0]
        for factor, found in zip((1, 3, 5), noisy, strict=True):
            assert found == Counter({gate: factor * count for gate, count in noisy[0].items()})
            assert all(backend.target.instruction_supported(gate[0], gate[1:]) for gate in found)


@pytest.mark.parametrize("name", ["FakeTorino", "FakeYorktownV2"])
def test_a_repeated_circuit_computes_what_the_circuit_computes(name):
    """Without errors, on gates of three kinds of chips."""
    from qiskit_aer import AerSimulator

    from qweft.devices.providers.qiskit.aer import CompiledForm, simulate_probabilities
    from qweft.devices.providers.qiskit.compilation import compile_form

    backend, some = getattr(fakes, name)(), circuits(3, 4)
    for factor in (1, 3, 5):
        run = fold_circuits(some, factor)
        compiled = CompiledForm(compile_form(backend, run), backend.target)
        found = simulate_probabilities(AerSimulator(method="statevector"), compiled.circuit, run.angles)
        np.testing.assert_allclose(found, make_device("exact").run(some, None).values, rtol=0, atol=1e-9)


def test_errors_are_those_of_all_the_chips_qubits():
    """Errors of the used qubits alone give what all of them give; on a chip of 27 qubits."""
    from qiskit_aer import AerSimulator
    from qiskit_aer.noise import NoiseModel

    from qweft.devices.outcomes import on_each_qubit
    from qweft.devices.providers.qiskit.aer import CompiledForm, simulate_probabilities
    from qweft.devices.providers.qiskit.compilation import compile_form

    backend, some = fakes.FakeAlgiers(), circuits(2)
    device = make_device("qiskit:fake_algiers")
    compiled = CompiledForm(compile_form(backend, some), backend.target)
    model = NoiseModel.from_backend(backend)
    whole = simulate_probabilities(
        AerSimulator(method="density_matrix", noise_model=model), compiled.circuit, some.angles
    )
    errors = {
        error["gate_qubits"][0][0]: np.array(error["probabilities"])
        for error in model.to_dict()["errors"]
        if error["type"] == "roerror"
    }
    read = on_each_qubit(whole, [errors[place] for place in compiled.measured_on])
    np.testing.assert_allclose(device.run(some, None).values, read, rtol=0, atol=1e-7)


def test_calibration_circuits_end_on_the_qubits_of_the_others(manila):
    """Compiled by themselves they would be put where reading out is best, and tell of other qubits."""
    from qweft.devices.providers.qiskit.aer import CompiledForm
    from qweft.devices.providers.qiskit.compilation import compile_form, measured_qubits

    some = circuits(2)
    calibration = calibration_circuits(some)
    backend = fakes.FakeManilaV2()
    main = CompiledForm(compile_form(backend, some), backend.target)
    assert measured_qubits(compile_form(backend, calibration)) == main.measured_on
    alone = dataclasses.replace(calibration, placed_like=None)
    assert measured_qubits(compile_form(backend, alone)) != main.measured_on
    matrices = confusion_matrices(manila.run(calibration, None))
    np.testing.assert_allclose(matrices, main.readout, rtol=0, atol=3e-3)  # a gate's error is in the measured ones
