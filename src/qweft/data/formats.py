"""Formats of rows: the columns of a row tell which one it has."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from qweft.core.errors import QweftError
from qweft.data.row import Row, RowError, is_blank, list_columns

KEY = "data.columns"
THOUGHT_COLUMN = "reasoning_content"
SHARED_COLUMNS = ("system", "group", "original_question", THOUGHT_COLUMN)
"""Columns that every format reads where a row has them, a plain text only `group`."""


@dataclass(frozen=True)
class Format:
    """A format of rows.

    `required` are the columns that a row must have: a list of messages, a plain text, or a question and its answer.
    `optional` are read where a row has them: `input` and `context` are added to the question, `history` holds earlier
    pairs. `message_keys` are the keys of messages, for people.
    """

    required: tuple[str, ...]
    optional: tuple[str, ...] = ()
    message_keys: str = ""

    @property
    def is_text(self) -> bool:
        """Whether its rows are plain texts, without questions and answers."""
        return self.required == ("text",)

    @property
    def question(self) -> str:
        """The column that asks, or that holds the messages."""
        return self.required[0]

    @cached_property
    def name(self) -> str:
        """Its name for people: "instruction [+ input, context, history] + output"."""
        additions = [column for column in self.optional if column != "tools"]
        question = f"{self.question} [+ {', '.join(additions)}]" if additions else self.question
        columns = " + ".join([question, *self.required[1:]])
        return f"{columns} ({self.message_keys})" if self.message_keys else columns

    @cached_property
    def columns(self) -> frozenset[str]:
        """All columns that it reads."""
        shared = ("group",) if self.is_text else SHARED_COLUMNS
        return frozenset((*self.required, *self.optional, *shared))

    def fits(self, row: Row) -> bool:
        """Return whether something stands in each required column; an `input` may ask in place of an instruction."""
        if self.question not in row:
            return False
        if any(is_blank(row.get(column)) for column in self.required[1:]):
            return False
        if not is_blank(row[self.question]):
            return True
        return "input" in self.optional and not is_blank(row.get("input"))


INSTRUCTION_PARTS = ("input", "context", "history")
FORMATS = (
    Format(("reannotated_messages",), ("tools",), "role, content"),  # R1-Distill-SFT
    Format(("messages",), ("tools",), "role, content"),
    Format(("conversations",), ("tools",), "from, value"),  # ShareGPT
    Format(("prompt", "completion"), ("tools",)),
    Format(("prompt", "response"), ("tools",)),
    Format(("instruction", "output"), INSTRUCTION_PARTS),  # Alpaca
    Format(("instruction", "response"), INSTRUCTION_PARTS),  # Dolly
    Format(("question", "answer"), ("context",)),
    Format(("query", "response"), ("context",)),  # MetaMathQA
    Format(("problem", "reannotated_assistant_content")),  # R1-Distill-SFT's checked thoughts
    Format(("problem", "solution"), ("context",)),
    Format(("input", "content")),  # Chinese-DeepSeek-R1-Distill, with `reasoning_content`
    Format(("text",)),
)
"""The first that fits a row is used. A new format is an entry here."""


def describe_formats() -> str:
    """Return the names of all formats for people."""
    return "; ".join(form.name for form in FORMATS)


def formats_with(columns: Mapping[str, str]) -> tuple[Format, ...]:
    """Return the formats that read all columns named in `data.columns`; without any, all formats."""
    named = {name for name, column in columns.items() if column}
    formats = tuple(form for form in FORMATS if named <= form.columns)
    if not formats:
        raise QweftError(f"{KEY}: no format has the columns {', '.join(sorted(named))}; there are {describe_formats()}")
    return formats


def find_format(row: Row, where: str, formats: Collection[Format] = FORMATS) -> Format:
    """Return the format of a row: the first of `formats` that fits."""
    if not is_blank(row.get("chosen")) and not is_blank(row.get("rejected")):
        raise QweftError(
            f"{where}: chosen and rejected are preferences, and here every answer is learned; learn the chosen ones by "
            f"--{KEY}.response chosen (.messages for whole conversations), or use TRL's DPOTrainer with a QwthnConfig"
        )
    for form in formats:
        if form.fits(row):
            _check_label(row, form, where)
            return form
    raise _no_format(row, where, formats)


def _check_label(row: Row, form: Format, where: str) -> None:
    """Raise if a row's label tells a good answer from a bad one, as in TRL's format for KTO."""
    if form.is_text:  # the label of a text is its class
        return
    label = str(row.get("label")).strip().casefold()
    # in TRL's format, whose question is `prompt`, numbers are such labels, too; in others they are classes
    verdicts = ["true", "false"]
    if form.question == "prompt":
        verdicts += ["0", "1", "0.0", "1.0"]
    if label in verdicts:
        raise QweftError(
            f"{where}: label {label} tells good answers from bad ones, and here every answer is learned; keep the "
            f"good rows, or use TRL's KTOTrainer with a QwthnConfig; --{KEY}.label '' leaves the column out"
        )


def _no_format(row: Row, where: str, formats: Collection[Format]) -> RowError:
    """Return why no format fits: a required column of one is empty, or the row has the columns of none."""
    for form in formats:
        if row.keys() >= set(form.required):
            blank = [column for column in form.required if is_blank(row[column])]
            return RowError(where, f"nothing stands in {' and '.join(blank)}")
    return RowError(
        where,
        f"the format is not known; its columns are {list_columns(row)}; known are {describe_formats()}; name yours by "
        f"--{KEY}.prompt NAME --{KEY}.response NAME",
    )


def rename_columns(row: Row, columns: Mapping[str, str], where: str) -> Row:
    """Return a row with its columns under the names that the formats have.

    `columns` gives the column of the row by the format's name: {"prompt": "Question"}. Dots lead into objects; an
    empty name leaves a column out.
    """
    if not columns:
        return row
    replaced = set(columns)
    replaced.update(_path(row, column)[0] for column in columns.values())
    renamed = {name: value for name, value in row.items() if name not in replaced}
    for name, column in columns.items():
        if column:
            renamed[name] = _value_of(row, name, column, where)
    return renamed


def _value_of(row: Row, name: str, column: str, where: str) -> Any:
    """Return what stands in a column, whose name may be a path into objects."""
    value: Any = row
    for key in _path(row, column):
        if not isinstance(value, Mapping) or key not in value:
            raise RowError(
                where, f"{KEY}.{name}: the row has no column {column!r}; its columns are {list_columns(row)}"
            )
        value = value[key]
    return value


def _path(row: Row, column: str) -> list[str]:
    """Return the keys that lead to a column: its parts between dots, unless the row has a column with dots."""
    if column in row:
        return [column]
    return column.split(".")


def unread_columns(row: Row, form: Format) -> list[str]:
    """Return the columns of a row that hold something and are not read."""
    return [str(name) for name, value in row.items() if name not in form.columns and not is_blank(value)]
