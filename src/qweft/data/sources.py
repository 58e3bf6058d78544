"""Sources of conversations: the rows of each, and what was seen in reading them."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from qweft.core.errors import QweftError
from qweft.data.checks import check_data_config
from qweft.data.config import HELD_OUT, DataConfig, SourceConfig
from qweft.data.conversation import Conversation
from qweft.data.convert import to_conversation
from qweft.data.formats import find_format, formats_with, rename_columns, unread_columns
from qweft.data.read.rows import located_rows
from qweft.data.row import RowError
from qweft.data.windows import windows

BAD_ROWS = "that cannot be read (data.skip_bad_rows)"
TOO_MANY_CHARACTERS = "with more characters than data.max_characters"


@dataclass(eq=False)
class Source:
    """The rows of a source, and what was seen in reading them."""

    name: str
    conversations: list[Conversation] = field(default_factory=list)
    weight: float | None = None  # as in `SourceConfig`
    rows: int | None = None  # as in `SourceConfig`
    skipped: list[RowError] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)  # rows in no part, by reason
    formats: Counter[str] = field(default_factory=Counter)  # rows by format
    unread: Counter[str] = field(default_factory=Counter)  # rows by column that is not read
    notes: list[str] = field(default_factory=list)  # encodings and delimiters that were taken

    @property
    def rows_read(self) -> int:
        """Number of rows, with those that cannot be read."""
        return len(self.conversations) + len(self.skipped)


def read_sources(config: DataConfig, tokenizer: Any) -> dict[str, Source]:
    """Read all sources by name, plain texts in windows."""
    check_data_config(config)
    training = {entry.source: entry for entry in config.training_sources}
    sources: dict[str, Source] = {}
    for name in config.all_sources:
        entry = training.get(name)
        if entry is not None:
            sources[name] = _read_source(entry, config, tokenizer)
        else:
            # the limits are about the training rows, but their names of columns hold for held-out rows, too
            unlimited = replace(config, max_rows=None, max_characters=None)
            sources[name] = _read_source(SourceConfig(name, config.columns), unlimited, tokenizer)
    if len(training) == 1:
        _split_single_texts(sources[config.source], config)
    return sources


def read_conversations(config: DataConfig) -> Iterator[Conversation]:
    """Yield the conversation of each row of the training sources, as `load_data` reads them."""
    for entry in config.training_sources:
        yield from _convert_rows(Source(entry.source), entry.columns, config)


def _read_source(entry: SourceConfig, config: DataConfig, tokenizer: Any) -> Source:
    """Read a source; raise if it has no row that can be used."""
    source = Source(entry.source, weight=entry.weight, rows=entry.rows)
    for conversation in _convert_rows(source, entry.columns, config):
        if config.max_characters is not None and conversation.characters > config.max_characters:
            source.left_out[TOO_MANY_CHARACTERS] += 1
        else:
            source.conversations += windows(conversation, tokenizer, config.max_length)
    if not source.conversations:
        first_fault = f"; {source.skipped[0]}" if source.skipped else ""
        raise QweftError(
            f"data {source.name}: no row can be used (data.max_characters, data.skip_bad_rows){first_fault}"
        )
    return source


def _split_single_texts(source: Source, config: DataConfig) -> None:
    """Make each window of a plain text a group of its own if there are fewer texts than parts to fill."""
    parts = 1  # the training rows
    for part in HELD_OUT:
        if config.source_of(part) == config.source and config.held_out_rows(part) != 0:
            parts += 1
    if source.formats.total() >= parts:
        return
    for index, row in enumerate(source.conversations):
        if row.is_text:
            source.conversations[index] = replace(row, group=row.prompt_hash)


def _convert_rows(source: Source, columns: Mapping[str, str], config: DataConfig) -> Iterator[Conversation]:
    """Yield the conversations of a source, and note in it what was seen."""
    formats = formats_with(columns)
    for where, row in located_rows(source.name, config.max_rows, source.notes):
        try:
            if isinstance(row, RowError):  # a line that is no row
                raise row
            renamed = rename_columns(row, columns, where)
            form = find_format(renamed, where, formats)
            conversation = to_conversation(renamed, where, form)
        except RowError as fault:
            if not config.skip_bad_rows:
                raise QweftError(f"{fault}; --data.skip_bad_rows true leaves such rows out") from fault
            source.skipped.append(fault)
            source.left_out[BAD_ROWS] += 1
            continue
        source.formats[form.name] += 1
        source.unread.update(unread_columns(renamed, form))
        yield conversation
