"""Which text a run learns from and is judged on."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class DataConfig:
    """The data: where the rows come from, how they are split, how long they may be.

    Args:
        source: A file (.jsonl, .json, .csv, .parquet; .txt and .md are plain text), a folder of such files,
            "embedded:gsm_symbolic", "embedded:chitchat", "embedded:reasoning_gym:TASK", a public data set by name
            (`qweft data list`), or a hub id.
        train_rows: At most so many training rows; none means all that the split leaves.
        validation_rows: Rows kept for choosing (learning rates, checkpoints).
        test_rows: Rows kept for the reported numbers; never trained on or chosen by.
        max_length: Longest row in tokens.
        overlong: What happens to a longer row: "drop" leaves it out, "cut" cuts its end; both are counted and said.
            A plain text is neither cut nor dropped: it becomes several rows.
        split_seed: Which rows go where; the same seed and source always give the same split.
        file: A copy of the data set that source names, where it is not to be fetched.
        max_rows: Only so many rows are read, the first ones; of a hub's data set no more than these are fetched.
    """

    source: str = "embedded:gsm_symbolic"
    train_rows: int | None = None
    validation_rows: int = 64
    test_rows: int = 64
    max_length: int = 1024
    overlong: Literal["cut", "drop"] = "cut"
    split_seed: int = 0
    file: str | None = None
    max_rows: int | None = None
