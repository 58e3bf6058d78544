"""What an adapter costs elsewhere: rows of data that it did not learn from."""

from typing import Any

from qweft.data.config import DataConfig
from qweft.data.load import load_data
from qweft.data.tokens import Encoded
from qweft.errors import QweftError

LENGTH = 512
"""Tokens to which rows are cut: the run's own limit may be too short for other data."""


def other_rows(source: str, rows: int, data: DataConfig, tokenizer: Any) -> list[Encoded]:
    """Rows of other data, drawn as the test rows of a run on them are.

    Args:
        source: As data.source takes it.
        rows: How many.
        data: That of the adapter's run; the seed of the split is taken from it.
        tokenizer: The model's.

    Raises:
        QweftError: The data cannot be read, or are too few.
    """
    config = DataConfig(
        source, train_rows=1, validation_rows=0, test_rows=rows, max_length=LENGTH, split_seed=data.split_seed
    )
    try:
        return load_data(config, tokenizer).test
    except QweftError as error:
        raise QweftError(f"evaluation.forgetting: {error}") from error
