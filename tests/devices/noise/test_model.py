"""Noise models: their numbers, their scaling, their files."""

import numpy as np
import pytest

from qweft.devices import DeviceError, DeviceSettings, make_device
from qweft.devices.noise import NoiseModel, noise_model

PAPER = noise_model("paper")


def test_scaled_errors():
    half = PAPER.scale_errors(0.5)
    assert (half.one_qubit, half.two_qubit) == (0.005, 0.05)
    np.testing.assert_allclose(half.readout, [[0.975, 0.025], [0.05, 0.95]], rtol=0, atol=1e-15)
    none = PAPER.scale_errors(0)
    assert (none.one_qubit, none.two_qubit, none.readout) == (0, 0, ((1, 0), (0, 1)))
    assert PAPER.scale_errors(1) is PAPER
    PAPER.scale_errors(10)
    for factor in (11, -1):
        with pytest.raises(DeviceError, match=f"times {factor}"):
            PAPER.scale_errors(factor)


def test_what_reading_out_makes_of_an_expectation():
    shift, factor = PAPER.readout_map()
    for one in (0.0, 0.3, 1.0):  # the probability of the true outcome 1
        reported = np.array([1 - one, one]) @ np.array(PAPER.readout)
        assert shift + factor * (1 - 2 * one) == pytest.approx(reported[0] - reported[1], abs=1e-15)


@pytest.mark.parametrize(
    "numbers",
    [
        {"one_qubit": 1.5},
        {"two_qubit": float("nan")},
        {"one_qubit": "a little"},
        {"readout": ((0.9, 0.2), (0.1, 0.9))},
        {"readout": ((0.9, 0.1), (-0.1, 1.1))},
        {"readout": ((0.9, 0.1),)},
        {"channel": "both"},
    ],
)
def test_numbers_that_are_no_probabilities(numbers):
    plain = {"one_qubit": 0.0, "two_qubit": 0.0, "readout": ((1.0, 0.0), (0.0, 1.0))}
    with pytest.raises(DeviceError, match="noise own: one_qubit and two_qubit are numbers from 0 to 1"):
        NoiseModel("own", "made up", **{**plain, **numbers})


def test_a_model_from_a_file(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("one_qubit: 0.001\ntwo_qubit: 0.01\nreadout: [[0.99, 0.01], [0.02, 0.98]]\nchannel: pair\n")
    model = noise_model(str(path))
    assert model == NoiseModel("mine", "from mine.yaml", 0.001, 0.01, ((0.99, 0.01), (0.02, 0.98)), "pair")
    device = make_device("noisy", DeviceSettings(noise=str(path), noise_scale=2))
    assert device.noise == model.scale_errors(2)
