"""What records say of the rows that fixed bases come from: 64 was meant where nothing stood."""

import pytest

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
