"""What records say of the rows that fixed bases come from: 64 was meant where nothing stood."""

import pytest

from qweft.method.stated import needs_rows_first
from qweft.training.config import TrainingConfig


@pytest.mark.parametrize(
    ("given", "fixed", "stated"),
    [
        ({}, False, None),
        ({}, True, 8),
        ({"batch_size": 1, "gradient_accumulation": 1}, True, 1),
        ({"batch_size": 64, "gradient_accumulation": 64}, True, None),
        ({"basis_rows": 64}, True, None),
        ({"basis_rows": 64}, False, None),
        ({"basis_rows": 32}, True, 32),
        ({"basis_rows": 32}, False, 32),
    ],
)
def test_rows_are_stated_unless_they_are_the_first_default(given, fixed, stated):
    assert TrainingConfig(**given).decides(fixed).get("basis_rows") == stated


@pytest.mark.parametrize(
    ("specification", "fixed"),
    [
        ({"preset": "qtha"}, False),
        ({"preset": "sparse"}, True),
        ({"preset": "readout"}, True),
        ({"preset": "qtha", "expand": "sparse"}, True),
        ({"preset": "sparse", "compress": "dense", "expand": "dense"}, False),
        ({"peft_type": "LORA", "r": 4}, False),
    ],
)
def test_which_adapters_have_fixed_bases(specification, fixed):
    assert needs_rows_first(specification) is fixed


@pytest.mark.parametrize(("given", "rows"), [({}, 16), ({"batch_size": 1, "gradient_accumulation": 1}, 1)])
def test_a_step_of_two_processes_has_twice_the_rows(given, rows):
    assert TrainingConfig(**given).rows_for_bases(processes=2) == rows
