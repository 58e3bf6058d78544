"""What an adapter costs elsewhere: rows of data that it did not learn from."""

from dataclasses import replace
from typing import Any

from qweft.data.config import DataConfig
from qweft.data.load import load_data
from qweft.data.tokens import Encoded
from qweft.errors import QweftError


def other_rows(source: str, rows: int, data: DataConfig, tokenizer: Any) -> list[Encoded]:
    """Rows of other data, drawn as the test rows of a run on them are.

    Args:
        source: As data.source takes it.
        rows: How many.
        data: That of the adapter's run; lengths and the seed of the split are taken from it.
        tokenizer: The model's.

    Raises:
        QweftError: The data cannot be read, or are too few.
    """
    config = replace(data, source=source, file=None, max_rows=None, train_rows=1, validation_rows=0, test_rows=rows)
    try:
        return load_data(config, tokenizer).test
    except QweftError as error:
        raise QweftError(f"evaluation.forgetting: {error}") from error
