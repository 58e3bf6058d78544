"""Circuits as devices get them, and what devices measure."""

import numpy as np
import pytest
import torch

from qweft.circuit import crz_ring_ansatz, expectation_values
from qweft.core.errors import QweftError
from qweft.devices import BoundCircuits, DeviceError, Frequencies, Measurer, make_device
from qweft.devices.outcomes import from_counts
from tests.devices.jobs.fake_provider import Cloud, FakeDevice

CIRCUIT = crz_ring_ansatz(3, 2)


@pytest.fixture
def tokens():
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(2, 6, 3, dtype=torch.float64, generator=generator)
    inputs[1, 2] = inputs[0, 4]
    return inputs, torch.randn(CIRCUIT.parameters, dtype=torch.float64, generator=generator)


def test_the_exact_device_is_the_engine(tokens):
    measured = Measurer(make_device("exact"))(CIRCUIT, *tokens)
    torch.testing.assert_close(measured, expectation_values(CIRCUIT, *tokens), rtol=0, atol=1e-12)


def test_a_device_that_takes_jobs_needs_an_executor(tmp_path):
    with pytest.raises(QweftError, match=r"fake:chip takes jobs; give Measurer\(Executor\(device\), ...\)"):
        Measurer(FakeDevice(Cloud(tmp_path / "cloud.sqlite")), 100)


def test_each_circuit_once_in_the_order_they_came(tokens):
    inputs, angles = tokens
    circuits = BoundCircuits.of(CIRCUIT, inputs.reshape(-1, 3), angles)
    once, places = circuits.unique()
    assert len(circuits) == 12 and len(once) == 11
    np.testing.assert_array_equal(once.angles[places], circuits.angles)
    np.testing.assert_array_equal(places, [0, 1, 2, 3, 4, 5, 6, 7, 4, 8, 9, 10])
    assert len(set(circuits.keys())) == 11
    assert circuits.keys()[4] == circuits.keys()[8]


def test_qubit_zero_is_the_first_letter_and_the_most_significant_bit():
    frequencies = Frequencies(from_counts({"100": 3, "110": 1}, 3, 4)[None], 4)
    np.testing.assert_allclose(frequencies.expectations(), [[-1, 0.5, 1]])


@pytest.mark.parametrize("name", ["exat", "qiskit"])
def test_a_wrong_name_is_told(name):
    with pytest.raises(DeviceError, match=name):
        make_device(name)


@pytest.mark.parametrize(("name", "shots"), [("exact", 100), ("shots", None), ("shots", 0)])
def test_shots_that_do_not_fit_the_device(name, shots):
    with pytest.raises(DeviceError, match="shots"):
        make_device(name).check(shots)
