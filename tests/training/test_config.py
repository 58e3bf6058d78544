"""What a training config decides by itself: rates, rows for bases, and the memory that a plan foretells."""

import pytest

from qweft import QwthnConfig
from qweft.method.presets import PRESETS
from qweft.training.config import RunConfig, TrainingConfig


@pytest.mark.parametrize("name", PRESETS)
def test_each_preset_brings_its_rate(name):
    rate = PRESETS[name].rate
    assert QwthnConfig.preset(name).learning_rate_hint == rate
    config = RunConfig(adapter={"preset": name})
    assert config.training.learning_rate == rate
    assert f"{rate:g}" in config.rate_line_at(None) and name in config.rate_line_at(None)


def test_a_control_has_the_rate_of_its_circuit_and_another_start_its_own():
    qtha = QwthnConfig.preset("qtha")
    assert QwthnConfig.preset("qtha", core="mlp_linear").learning_rate_hint == qtha.learning_rate_hint
    assert QwthnConfig.preset("qtha", start="recorded").learning_rate_hint < qtha.learning_rate_hint / 5
    assert QwthnConfig(compress="dense", expand="mpo").learning_rate_hint is None


def test_what_is_given_stands_and_peft_keeps_its_default():
    given = RunConfig(adapter={"preset": "qtha"}, training=TrainingConfig(learning_rate=0.25))
    assert given.training.learning_rate == 0.25
    assert given.rate_line_at(None) == "learning rate 0.25"
    assert RunConfig(adapter={"peft_type": "LORA"}).training.learning_rate == 5e-4


def test_a_longer_run_says_which_rate_it_takes():
    config = RunConfig(adapter={"preset": "qtha"}, training=TrainingConfig(learning_rate=0.02, found_in_steps=17))
    assert config.rate_line_at(17) == "learning rate 0.02"
    assert config.rate_line_at(544) == "learning rate 0.01 (lowered from 0.02: it was found in 17 steps)"


def test_a_presets_rate_falls_with_the_loss_of_the_base_model():
    config = RunConfig(adapter={"preset": "qtha"})
    rate = config.training.learning_rate
    assert config.training.on(9.0).learning_rate == rate and config.rate_line_at(None, 9.0).startswith(
        f"learning rate {rate:g} ("
    )
    assert config.training.on(2.35).learning_rate == pytest.approx(rate / 2)
    assert config.rate_line_at(None, 2.35).startswith(
        f"learning rate {rate / 2:g} (lowered from {rate:g}, that of the preset qtha"
    )
    by_part = RunConfig(adapter={"preset": "qtha"}, training=TrainingConfig(learning_rates={"circuit": 1e-3}))
    assert by_part.training.on(2.35).learning_rates == {"circuit": 1e-3}
    given = RunConfig(adapter={"preset": "qtha"}, training=TrainingConfig(learning_rate=rate))
    assert given.training.on(2.35).learning_rate == rate
    assert RunConfig(adapter={"peft_type": "LORA"}).training.on(0.1).learning_rate == 5e-4


@pytest.mark.parametrize(
    ("given", "fixed", "stated"),
    [
        ({}, False, None),
        ({}, True, 8),
        ({"batch_size": 1, "gradient_accumulation": 1}, True, 1),
        ({"batch_size": 64, "gradient_accumulation": 64}, True, 64),
        ({"basis_rows": 32}, True, 32),
        ({"basis_rows": 32}, False, None),
    ],
)
def test_rows_are_stated_where_an_adapter_needs_them(given, fixed, stated):
    assert TrainingConfig(**given).decides(fixed)["basis_rows"] == stated
