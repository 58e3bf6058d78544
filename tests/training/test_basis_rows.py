"""What records say of the rows that fixed bases come from."""

import pytest

from qweft.training.config import TrainingConfig


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
