"""The config: presets, JSON, and a sentence for each wrong value."""

import pytest
from peft import get_peft_model

from qweft import QweftError, QwthnConfig
from tests.tiny_models import tiny_llama


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"r": 0}, "r must be a whole number of at least 1, got 0"),
        ({"r": 13}, "13 qubits"),
        ({"width": 10**8}, "width must be at most 65536"),
        ({"alpha": float("nan")}, "alpha must be a number"),
        ({"target_modules": ["q_proj", 5]}, "target_modules must be a list of names"),
        ({"layers_to_transform": "1"}, "layers_to_transform must be"),
        ({"core": "quantm"}, "core must be one of .*; did you mean 'quantum'"),
        ({"modes": {"20": "4x5"}}, "modes must map sizes to lists"),
        ({"target_modules": ".*q", "layers_to_transform": [0]}, "layers_to_transform"),
        ({"rank": 4}, "no field 'rank'"),
    ],
)
def test_a_wrong_value_is_named(changes, message):
    with pytest.raises(QweftError, match=message):
        QwthnConfig.preset("qtha", **changes)


def test_an_unknown_preset_is_named():
    with pytest.raises(QweftError, match="no preset 'qhta'; did you mean 'qtha'"):
        QwthnConfig.preset("qhta")


@pytest.mark.parametrize(
    ("modes", "message"),
    [({"20": [2, 2, 2, 2]}, "do not cover size 20"), ({"20": [5, 4]}, "as many output modes as input modes")],
)
def test_modes_that_do_not_fit_are_named(modes, message):
    with pytest.raises(QweftError, match=message):
        get_peft_model(tiny_llama(), QwthnConfig.preset("qtha", r=2, modes=modes))
