"""Config of the training, validation and test data."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Annotated, Any, Literal

from annotated_types import Ge

from qweft.core.schema import Count, Rate

HELD_OUT = ("validation", "test")
PARTS = ("train", *HELD_OUT)
TOGETHER = " + "
"""What stands between the names of several sources."""


@dataclass(frozen=True)
class SourceConfig:
    """One of several sources of rows.

    Args:
        source: As data.source.
        columns: As data.columns, for this source; without any, data.columns holds.
        weight: Its share of the training rows, relative to the weights of the others. No row is taken twice: the
            mixture is the largest one that the sources can fill.
        rows: Number of training rows that it gives, instead of a weight.
    """

    source: str
    columns: dict[str, str] = field(default_factory=dict)
    weight: Rate | None = None
    rows: Count | None = None


@dataclass(frozen=True)
class DataConfig:
    """Source of the rows, their split and their maximum length.

    Args:
        source: A file (.jsonl, .json, .csv, .tsv, .parquet; plain text: .txt, .md), a folder of such files,
            "embedded:gsm_symbolic", "embedded:chitchat", "embedded:reasoning_gym:TASK", the name of a public data set
            (see `qweft data list`), or a hub id. The last two read the train split, or another one as NAME@SPLIT.
        train_rows: Maximum number of training rows; `None` means all rows that are not held out.
        validation_rows: Rows for choosing learning rates and checkpoints; `None` means a tenth of the rows, but at
            least 8 and at most 64.
        test_rows: Rows for the reported results, never used for training or choosing; `None` as for validation_rows.
        max_length: Maximum tokens of a row.
        overlong: What to do with a longer row: "drop" leaves it out, "cut" cuts its end. The report counts both.
            A plain text is split into several rows instead.
        split_seed: Seed of the split; the same seed and source always give the same split.
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
        columns: Names in the files of the columns that a format has: {prompt: Question, response: Answer}. Dots lead
            into objects; an empty name leaves a column out.
        skip_bad_rows: Leave out rows that cannot be read, and count and list them, instead of stopping at the first.
        sources: Several sources in place of source: [{source: a.jsonl, weight: 2}, {source: b.csv, rows: 500, columns:
            {...}}]. A text stands for its source. Without weight and rows all rows of a source are taken.
    """

    source: str = "embedded:gsm_symbolic"
    train_rows: Count | None = None
    validation_rows: Annotated[int, Ge(0)] | None = None
    test_rows: Annotated[int, Ge(0)] | None = None
    max_length: Annotated[int, Ge(2)] = 1024
    overlong: Literal["cut", "drop"] = "cut"
    split_seed: int = 0
    max_rows: Count | None = None
    validation_source: str | None = None
    test_source: str | None = None
    max_characters: Count | None = None
    template: str | None = None
    learn: Literal["answers", "all"] = "answers"
    columns: dict[str, str] = field(default_factory=dict)
    skip_bad_rows: bool = False
    sources: list[SourceConfig] | None = None

    def __post_init__(self) -> None:
        if self.sources is None:
            return
        # records and config files give mappings
        entries = [SourceConfig(**entry) if isinstance(entry, dict) else entry for entry in self.sources]
        object.__setattr__(self, "sources", entries)
        if self.source == DataConfig.source:
            object.__setattr__(self, "source", self.joined_names)

    @property
    def joined_names(self) -> str:
        """The names of all sources as one text, which stands as `source` where there are several."""
        return TOGETHER.join(entry.source for entry in self.sources or ())

    @property
    def training_sources(self) -> list[SourceConfig]:
        """The sources of the training rows: one, or several, each with the names of its columns."""
        entries = self.sources or [SourceConfig(self.source)]
        return [replace(entry, columns=entry.columns or self.columns) for entry in entries]

    @property
    def all_sources(self) -> list[str]:
        """Every source of the training and held-out rows, each once."""
        names = [entry.source for entry in self.training_sources]
        names += [name for name in (self.validation_source, self.test_source) if name is not None]
        return list(dict.fromkeys(names))

    def source_of(self, part: str) -> str:
        """Return the source of a part: "train", "validation" or "test"."""
        if part == "validation":
            return self.validation_source or self.source
        if part == "test":
            return self.test_source or self.source
        return self.source

    def sources_of(self, part: str) -> list[str]:
        """Return the sources of the rows of a part."""
        source = self.source_of(part)
        if source != self.source:
            return [source]
        return [entry.source for entry in self.training_sources]

    @property
    def sources_elsewhere(self) -> dict[str, str]:
        """The source of each held-out part that has its own."""
        names = {part: self.source_of(part) for part in HELD_OUT}
        return {part: name for part, name in names.items() if name != self.source}

    def held_out_rows(self, part: str) -> int | None:
        """Return the number of rows of "validation" or "test"; `None` means a tenth of the rows, within limits."""
        if part == "validation":
            return self.validation_rows
        return self.test_rows

    def with_held_out(self, rows: Mapping[str, int]) -> "DataConfig":
        """Return the config with these numbers of held-out rows where they are `None`."""
        unset = [part for part in HELD_OUT if self.held_out_rows(part) is None]
        numbers: dict[str, Any] = {f"{part}_rows": rows[part] for part in unset}
        return replace(self, **numbers)

    def decides(self) -> dict[str, Any]:
        """Return all settings for the record of a run; an empty name in `columns`, which leaves one out, is none."""
        columns = {name: column for name, column in self.columns.items() if column}
        return {**asdict(self), "columns": columns}
