"""Config of the training, validation and test data."""

from dataclasses import dataclass, fields
from typing import Any, Literal


@dataclass(frozen=True)
class DataConfig:
    """Source of the rows, their split and their maximum length.

    Args:
        source: A file (.jsonl, .json, .csv, .parquet; plain text: .txt, .md), a folder of such files,
            "embedded:gsm_symbolic", "embedded:chitchat", "embedded:reasoning_gym:TASK", the name of a public data set
            (see `qweft data list`), or a hub id. The last two read the train split, or another one as NAME@SPLIT.
        train_rows: Maximum number of training rows; `None` means all rows that are not held out.
        validation_rows: Rows for choosing learning rates and checkpoints.
        test_rows: Rows for the reported results; never used for training or choosing.
        max_length: Maximum tokens of a row.
        overlong: What to do with a longer row: "drop" leaves it out, "cut" cuts its end. The report counts both.
            A plain text is split into several rows instead.
        split_seed: Seed of the split; the same seed and source always give the same split.
        file: Local copy of the public data set named by source; it is read instead of the hub.
        max_rows: Read only the first max_rows rows of source. A data set on the hub is streamed, not downloaded whole.
        validation_source: Source of the validation rows, written like source; `None` means source.
        test_source: Source of the test rows, written like source; `None` means source. Training rows with the prompt
            or group of a held-out row of another source are left out and counted.
        max_characters: Leave out rows of source with more characters, prompt and answer together. Unlike max_length
            this does not depend on the tokenizer. `None` means no limit.
        template: Text with {query} in place of the question, used instead of the model's chat template. The answer
            follows it directly and ends with the end token.
        learn: Tokens of a training row that are learned: "answers", or "all" of its text. Held-out rows are always
            scored on their answers; plain texts are learned and scored as a whole.
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
        """Return the source of a part: "train", "validation" or "test"."""
        own = {"validation": self.validation_source, "test": self.test_source}.get(part)
        return own or self.source

    def decides(self) -> dict[str, Any]:
        """Return all settings for the record of a run, without those of `NEWER` that have their default."""
        return {
            each.name: getattr(self, each.name)
            for each in fields(self)
            if each.name not in NEWER or getattr(self, each.name) != each.default
        }


NEWER = ("validation_source", "test_source", "max_characters", "template", "learn")
"""Settings that older records lack."""
