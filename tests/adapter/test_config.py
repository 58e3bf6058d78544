"""The config: presets, JSON, and a sentence for each wrong value."""

import pytest
from peft import PeftType, get_peft_model

from qweft import QweftError, QwthnConfig
from tests.tiny_models import tiny_llama


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"r": 0}, "r must be a whole number of at least 1, got 0"),
        ({"r": "four"}, "r must be a whole number of at least 1, got 'four'"),
        ({"r": 13}, "13 qubits"),
        ({"width": 10**8}, "width must be at most 65536"),
        ({"alpha": float("nan")}, "alpha must be a number"),
        ({"modes": [8, 8]}, "modes must map names to values"),
        ({"rank_pattern": [1]}, "rank_pattern must map names"),
        ({"target_modules": ["q_proj", 5]}, "target_modules must be a list of names"),
        ({"layers_to_transform": "1"}, "layers_to_transform must be"),
        ({"bond_dimension": 1.5}, "bond_dimension must be"),
        ({"dropout": 1.0}, "dropout must be at least 0 and below 1, got 1.0"),
        ({"alpha": "x"}, "alpha must be a number"),
        ({"core": "quantm"}, "core must be one of .*; did you mean 'quantum'"),
        ({"start": "warm"}, "start must be one of recorded, small, scaled"),
        ({"reupload": "yes"}, "reupload must be true or false"),
        ({"modes": {"20": "4x5"}}, "modes must map sizes to lists"),
        ({"rank_pattern": {"q": 0}}, "rank_pattern"),
        ({"target_modules": ".*q", "layers_to_transform": [0]}, "layers_to_transform"),
        ({"layers_pattern": "h"}, "layers_pattern"),
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


def test_registered_once_as_a_real_member():
    from qweft.adapter import register

    register()
    assert PeftType("QWTHN") is PeftType.QWTHN
    assert "QWTHN" in list(PeftType)
    assert isinstance(PeftType.QWTHN, PeftType)
