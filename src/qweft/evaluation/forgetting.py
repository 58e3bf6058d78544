"""What an adapter costs elsewhere: rows of data that it did not learn from."""

from typing import Any

from qweft.data.config import DataConfig
from qweft.data.formats import to_conversation
from qweft.data.load import load_data
from qweft.data.read import read_rows
from qweft.data.tokens import Encoded, encode
from qweft.errors import QweftError
from qweft.evaluation.config import EvaluationConfig

KEY = "evaluation.forgetting"


def other_rows(judging: EvaluationConfig, data: DataConfig, tokenizer: Any) -> list[Encoded]:
    """Rows of other data, drawn as the test rows of a run on them are, or the first ones; none where none are asked.

    Args:
        judging: `forgetting` names the data, as data.source does; `forgetting_rows`, `forgetting_length` and
            `forgetting_first` say which rows of them.
        data: That of the adapter's run; the seed of the split is taken from it.
        tokenizer: The model's, with its own chat template.

    Raises:
        QweftError: The data cannot be read, or are too few.
    """
    if judging.forgetting is None:
        return []
    if judging.forgetting_first:
        return _first(judging.forgetting, judging, tokenizer)
    config = DataConfig(
        judging.forgetting, train_rows=1, validation_rows=0, test_rows=judging.forgetting_rows,
        max_length=judging.forgetting_length, split_seed=data.split_seed,
    )  # fmt: skip
    try:
        return load_data(config, tokenizer).test
    except QweftError as error:
        raise QweftError(f"{KEY}: {error}") from error


def _first(source: str, judging: EvaluationConfig, tokenizer: Any) -> list[Encoded]:
    """The first rows, each cut at the length; a long plain text does not become several."""
    found = [
        encode(to_conversation(row, where), tokenizer, judging.forgetting_length)
        for where, row in read_rows(source, judging.forgetting_rows, key=KEY)
    ]
    kept = [row for row in found if row is not None]
    if len(kept) < judging.forgetting_rows:
        raise QweftError(
            f"{KEY} {source}: of its first {judging.forgetting_rows} rows {len(kept)} are there and have an answer "
            f"within {judging.forgetting_length} tokens; lower evaluation.forgetting_rows, or raise "
            "evaluation.forgetting_length"
        )
    return kept
