"""Which text a run learns from and is judged on."""

from dataclasses import dataclass, fields
from typing import Any, Literal


@dataclass(frozen=True)
class DataConfig:
    """The data: where the rows come from, how they are split, how long they may be.

    Args:
        source: A file (.jsonl, .json, .csv, .parquet; .txt and .md are plain text), a folder of such files,
            "embedded:gsm_symbolic", "embedded:chitchat", "embedded:reasoning_gym:TASK", a public data set by name
            (`qweft data list`), or a hub id; of the last two the train split, or another one as NAME@SPLIT.
        train_rows: At most so many training rows; none means all that the split leaves.
        validation_rows: Rows kept for choosing (learning rates, checkpoints).
        test_rows: Rows kept for the reported numbers; never trained on or chosen by.
        max_length: Longest row in tokens.
        overlong: What happens to a longer row: "drop" leaves it out, "cut" cuts its end; both are counted and said.
            A plain text is neither cut nor dropped: it becomes several rows.
        split_seed: Which rows go where; the same seed and source always give the same split.
        file: A copy of the data set that source names, where it is not to be fetched.
        max_rows: Only so many rows are read, the first ones; of a hub's data set no more than these are fetched.
        validation_source: Where the validation rows come from, as source; none means from source.
        test_source: Where the test rows come from, as source; none means from source. Training rows that ask what
            held-out rows of another source ask are left out, and counted.
        max_characters: Rows of source with more characters, prompt and answer together, are left out: a limit that is
            the same for every tokenizer. None leaves out none.
        template: What a question is put into, in place of the model's chat template: a text with {query} in it, after
            which the answer follows at once, closed by the end token.
        learn: What is learned of a training row: "answers", or "all" of its text. Held-out rows are measured on their
            answers; plain texts as a whole.
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
    validation_source: str | None = None
    test_source: str | None = None
    max_characters: int | None = None
    template: str | None = None
    learn: Literal["answers", "all"] = "answers"

    def source_of(self, part: str) -> str:
        """Where the rows of a part come from: train, validation or test."""
        own = {"validation": self.validation_source, "test": self.test_source}.get(part)
        return own or self.source

    def decides(self) -> dict[str, Any]:
        """All of it, as a record keeps it; what is newer than some records is left out where it is not used."""
        return {
            each.name: getattr(self, each.name)
            for each in fields(self)
            if each.name not in NEWER or getattr(self, each.name) != each.default
        }


NEWER = ("validation_source", "test_source", "max_characters", "template", "learn")
