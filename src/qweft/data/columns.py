"""Columns of a row: their names in the file, near misses, and rows of preferences, which are refused."""

import math
import re
import shlex
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from typing import Any

from qweft.data.turns import Row, RowError, UnknownFormatError, as_python, turns_in
from qweft.errors import QweftError
from qweft.text import near, plain

KEY = "data.columns"
LABELS = ("false", "true")
NUMBERED = ("0", "1", "0.0", "1.0")
"""Labels as CSV and Parquet may have them; beside other formats than TRL's they are classes."""
SHARED = ("system", "group", "original_question", "reasoning_content")
"""Columns that every format reads where a row has them, a plain text only `group`."""
ANSWER_OF = {
    "prompt": "response", "instruction": "output", "question": "answer", "query": "response", "problem": "solution",
}  # fmt: skip
"""Column of the answer beside each column that asks."""
ANSWERS = {*ANSWER_OF.values(), "completion", "reply", "target"}
"""Last words in the name of a column that may hold an answer."""
LONGEST_NAME = 100
"""Maximum characters of a column's name in an option that is advised, and in a record."""
TURNS = ("messages", "conversations")
LISTS = ("history", "tools", *TURNS)
"""Columns that hold a list, or its JSON text."""
LIST = re.compile(r"\s*\[\s*[\[{\"]")
"""Begins the JSON text of a list of objects, lists or texts, and not a line of a log, `[INFO] started`."""


@lru_cache  # for every row
def columns_of(name: str) -> tuple[str, ...]:
    """Return the columns that a format needs, from its name.

    >>> columns_of("instruction [+ input, context, history] + output"), columns_of("messages (role, content)")
    (('instruction', 'output'), ('messages',))
    """
    return tuple(part.strip() for part in re.sub(r"\[[^]]*\]|\([^)]*\)", "", name).split("+"))


@lru_cache
def more_of(name: str, has_turns: bool) -> tuple[str, ...]:
    """Return the columns that a format reads where a row has them, from its name.

    Args:
        name: Name of the format.
        has_turns: Whether the row holds a list of messages, beside which a column `tools` lists tools.

    >>> more_of("instruction [+ input, context, history] + output", False)
    ('input', 'context', 'history', 'system', 'group', 'original_question', 'reasoning_content')
    """
    if name == "text":
        return ("group",)
    own = re.findall(r"\w+", "".join(re.findall(r"\[[^]]*\]", name)))
    return (*own, *SHARED, *(("tools",) if has_turns else ()))


def check_columns(columns: Mapping[str, str], known: Collection[str]) -> None:
    """Check the names of `data.columns` that stand for the formats' columns.

    Args:
        columns: Name of the format's column to name in the file.
        known: Columns of all formats.

    Raises:
        QweftError: A name is not known.
    """
    for name, own in columns.items():
        if name not in known and (own or name != "label"):
            close = near(name, known)
            way = f"did you mean {close[0]}?" if close else f"there are {', '.join(sorted(known))}"
            raise QweftError(f"{KEY}.{name}: no format has this column; {way}")


def renamed(row: Row, columns: Mapping[str, str], where: str, key: str = KEY) -> Row:
    """Return a row with its columns under the names that the formats have.

    Args:
        row: Values by the names in the file.
        columns: Name of the format's column to name in the file; dots lead into objects (`item.question`). An empty
            name stands for none.
        where: Place of the row for errors.
        key: The config key that holds them, for errors.

    Raises:
        UnknownFormatError: The row lacks such a column.
    """
    if not columns:
        return row
    taken = {name.partition(".")[0] if name not in row else name for name in columns.values()}
    kept = {key: value for key, value in row.items() if key not in taken}
    return kept | {name: _inner(row, own, f"{key}.{name}", where) for name, own in columns.items()}


def _inner(row: Row, name: str, key: str, where: str) -> Any:
    if not name or name in row:
        return row[name] if name else None
    value: Any = row
    for part in name.split("."):
        if not isinstance(value, Mapping) or part not in value:
            close = near(part, map(str, value)) or _alike(part, value) if isinstance(value, Mapping) else []
            meant = f"did you mean {close[0]!r}?" if close else f"its columns are {_listed(row)}"
            raise UnknownFormatError(where, f"{key}: the row has no column {name!r}; {meant}")
        value = value[part]
    return value


def refuse_preferences(row: Row, name: str, where: str) -> None:
    """Refuse a row that tells good answers from bad ones, of which the bad would be learned too.

    Args:
        row: The row.
        name: Name of its format. The label of a plain text may be its class.
        where: Place of the row for errors.

    Raises:
        QweftError: It has chosen and rejected, or a label that is true or false beside an answer.
    """
    if row.get("chosen") is not None and row.get("rejected") is not None:
        raise QweftError(
            f"{where}: chosen and rejected are preferences, and here every answer is learned; {_way_to_chosen(row)}, "
            "or give the rows and a QwthnConfig to TRL's DPOTrainer"
        )
    answered = name == "prompt + completion" and (row.get("completion"), row.get("response")) != (None, None)
    known = LABELS + NUMBERED if answered else LABELS
    labels = [each for each in _alike("label", row) if str(row[each]).strip().casefold() in known]
    if labels and name != "text":
        told = str(row[labels[0]])
        is_class = f"; where it is a class, leave it out by {_option('label', '')}"
        is_class = "" if told.strip().casefold() in LABELS or labels[0] != "label" else is_class
        raise QweftError(
            f"{where}: {labels[0]} {told} tells good answers from bad ones, and here every answer is learned; keep the "
            "rows whose label is true, without this column, or give the rows and a QwthnConfig to TRL's KTOTrainer"
            f"{is_class}"
        )


def _way_to_chosen(row: Row) -> str:
    """Return how the chosen answers are learned with all that asks for them."""
    chosen, prompt = (turns_in(each) or each for each in (row["chosen"], row.get("prompt")))
    if as_python(chosen):
        return f"save the rows as .jsonl, where lists stay lists, and learn the chosen ones by --{KEY}.messages chosen"
    if isinstance(chosen, Sequence) and not isinstance(chosen, str):
        key = "messages" if prompt is None or isinstance(prompt, str) else "completion"
        return f"learn the chosen ones by --{KEY}.{key} chosen"
    if isinstance(chosen, Mapping) or any(row.get(each) is not None for each in ("messages", "conversations")):
        return "put each chosen one at the end of its conversation, and leave out both columns"
    answer = next((answer for asks, answer in ANSWER_OF.items() if row.get(asks) is not None), None)
    others = [key for key, value in row.items() if isinstance(value, str) and key not in ("chosen", "rejected")]
    if answer is None and others:
        return f"name the questions and the chosen ones by --{KEY}.prompt NAME --{KEY}.response chosen"
    return f"learn the chosen ones by --{KEY}.{answer or 'text'} chosen"


def refuse_missed(row: Row, wanted: Sequence[str], where: str) -> None:
    """Refuse a row with a column that its format would read but for case, white space or a plural in its name.

    Left alone it would be lost without a word: an `Input` beside instruction and output.

    Args:
        row: The row.
        wanted: Columns that the format reads where a row has them.
        where: Place of the row for errors.

    Raises:
        QweftError: It has such a column, and not under its own name too.
    """
    for each, own in _missed(row, wanted).items():
        raise QweftError(
            f"{where}: its column {own!r} would not be read; read it as {each} by {_option(each, own)}, or leave it "
            f"out by {_option(each, '')}"
        )


def refuse_unread(row: Row, name: str, read: Collection[str], columns: Mapping[str, str], where: str, key: str) -> None:
    """Refuse names in `data.columns` of columns that the row's format does not read.

    Args:
        row: The row, with its columns under the names that the formats have.
        name: Name of its format.
        read: Columns that the format reads.
        columns: Name of the format's column to name in the file.
        where: Place of the row for errors.
        key: The config key that holds them, for errors.

    Raises:
        QweftError: The row has such a column, whose content would be lost.
    """
    for each, own in columns.items():
        if own and each not in read and row.get(each) not in (None, ""):
            raise QweftError(
                f"{where}: {key}.{each} {own}: the row is read as {name}, which has no {each}; name all columns of a "
                "format that has it (qweft data --help), or leave this one out"
            )


def lacking(row: Row, what: str, wanted: Sequence[str], where: str, more: Sequence[str] = ()) -> RowError:
    """Return the error of a row without a column that its format needs.

    Args:
        row: The row.
        what: What is missing, as the beginning of the sentence.
        wanted: Names that the column may have.
        where: Place of the row.
        more: Columns that the format reads where a row has them.
    """
    turns = "completion" in wanted
    for name in wanted:
        if alike := _fitting(name, row, turns):
            others = _missed(row, more)
            found = " and ".join(f"{own!r} as {each}" for each, own in ((name, alike[0]), *others.items()))
            options = " ".join(_option(each, own) for each, own in ((name, alike[0]), *others.items()))
            return RowError(where, f"{what}; read its column{'s' if others else ''} {found} by {options}")
    for pair in ANSWER_OF.items():
        if all(_is_read(name, row.get(name)) for name in pair):
            options = " ".join(_option(name, name) for name in pair)
            return RowError(where, f"{what}; its columns are {_listed(row)}; read {' + '.join(pair)} by {options}")
    likely = _answers(row, wanted)
    way = f"; name the column to read by --{KEY}.{wanted[0]} NAME{likely}" if len(row) > 1 else ""
    if _is_read("text", row.get("text")):
        alone = f"read its text alone by {_option('text', 'text')}"
        way = f"{way}, or {alone}" if likely else f"; {alone}"
    return RowError(where, f"{what}; its columns are {_listed(row)}{_unfit(row, wanted, turns)}{way}")


def _answers(row: Row, wanted: Sequence[str]) -> str:
    """Return the columns that may be the wanted answer by the last word in their names: "generated_solution"."""
    if ANSWERS.isdisjoint(wanted):
        return ""
    last = {key: re.findall(r"[A-Z]?[a-z]+|[A-Z]+", key)[-1:] for key in map(str, row) if len(key) <= LONGEST_NAME}
    named = [key for key, word in last.items() if ANSWERS & {*map(bare, word)} and plain(key) == key]
    likely = [key for key in named if _is_read("text", row.get(key))]
    likely = [key for key in likely if isinstance(row[key], str)] or likely  # a number may be n_answers
    return f", as {' or '.join(map(shlex.quote, likely[:4]))}" if likely else ""


def unknown(row: Row, formats: Sequence[str], where: str) -> RowError:
    """Return the error of a row of no known format, with the closest one.

    Args:
        row: The row.
        formats: Names of the known formats.
        where: Place of the row.
    """
    if row and all(value is None for value in row.values()):
        return RowError(where, f"nothing stands in its columns, {_listed(row)}")
    best: tuple[tuple[float, int], str, dict[str, str]] = ((0.0, 0), "", {})
    for name in formats:
        turns = name.startswith("prompt")
        found = {each: alike[0] for each in columns_of(name) if (alike := _fitting(each, row, turns))}
        # of equals the one whose columns the row has, with nothing in them
        rank = (len(found) / len(columns_of(name)), sum(each in row for each in columns_of(name)))
        if found and rank > best[0]:
            best = (rank, name, found)
    (share, _), name, found = best
    has_turns = any(not isinstance(row[own], str) for own in found.values())
    found |= _missed(row, more_of(name, has_turns)) if share else {}
    known = columns_of(name) if name else [each for other in formats for each in columns_of(other)]
    told = f"the format is not known; its columns are {_listed(row)}{_unfit(row, known, name.startswith('prompt'))}"
    options = " ".join(_option(each, own) for each, own in found.items() if each != own)
    if share == 1 and options:
        return UnknownFormatError(where, f"{told}; read them as {name} by {options}")
    if share > 0:
        missing = [each for each in columns_of(name) if each not in found]
        way = f"; the closest format is {name}, and {' and '.join(missing) or 'its text'} is missing"
        wanted = " ".join(f"--{KEY}.{each} NAME" for each in missing or ["text"])
        near = [
            repr(str(key))
            for each in missing
            for key, value in row.items()
            if bare(each) in str(key).casefold().split() and _is_read(each, value)
        ][:4]
        hint = f", as {' or '.join(near)}" if near else ""
        return UnknownFormatError(where, f"{told}{way}; name other columns by {f'{options} {wanted}'.strip()}{hint}")
    way = f"name yours by --{KEY}.prompt NAME --{KEY}.response NAME (qweft data --help)"
    return UnknownFormatError(where, f"{told}; {way}")


def beside_text(row: Row, formats: Sequence[str], where: str) -> RowError | None:
    """Return the error of a row with `text` whose other columns are those of a format but for their names, if any.

    Args:
        row: The row.
        formats: Names of the known formats.
        where: Place of the row.
    """
    for name in formats:
        wanted = columns_of(name)
        own = {each: each for each in wanted if each in row} | _missed(row, wanted)
        if name != "text" and own.keys() == {*wanted}:
            found = own | _missed(row, more_of(name, has_turns=name.endswith(")")))
            options = " ".join(_option(each, column) for each, column in found.items() if column != each)
            what = f"beside text its columns are those of {name} but for their names"
            return RowError(where, f"{what}; read them by {options}, or the text alone by {_option('text', 'text')}")
    return None


def _option(name: str, own: str) -> str:
    return f"--{KEY}.{name} {shlex.quote(own)}"


def _alike(name: str, row: Row) -> list[str]:
    """Return the columns that are a name but for case, white space, a byte order mark, or a plural."""
    return [str(key) for key in row if row[key] is not None and bare(str(key)) == bare(name)]


def _fitting(name: str, row: Row, takes_turns: bool) -> list[str]:
    """Return the columns that are a name but for its form, and hold what can be read as it."""
    return [own for own in _alike(name, row) if _fits(name, row[own], takes_turns)]


def _fits(name: str, value: Any, takes_turns: bool) -> bool:
    """Whether a value can be read under a name; where a text or list is empty, other rows may have more."""
    is_text = isinstance(value, str) and name not in LISTS
    return is_text or _is_read(name, value) or ((takes_turns or name in TURNS) and _is_turns(value))


def _is_turns(value: Any) -> bool:
    is_list = isinstance(value, Sequence) and not isinstance(value, str)
    return is_list and all(isinstance(each, Mapping) for each in value)


def _unfit(row: Row, wanted: Sequence[str], takes_turns: bool) -> str:
    """Return what stands in the first column that is a wanted one but for its form, and cannot be read as it."""
    for name in wanted:
        for key, value in row.items():
            if bare(str(key)) == bare(name) and not _fits(name, value, takes_turns):
                held = (
                    "nothing" if value is None else f"{kind_of(value)}, not {'messages' if name in TURNS else 'text'}"
                )
                return f"; its column {str(key)!r} holds {held}"
    return ""


def kind_of(value: Any) -> str:
    """Return what a value is, for people."""
    kinds = {str: "a text", bool: "true or false", dict: "an object", list: "a list"}
    return kinds.get(type(value), type(value).__name__)


def _missed(row: Row, wanted: Sequence[str]) -> dict[str, str]:
    """Return the columns that are wanted ones but for their names, by these, if they hold what can be read."""
    found = {name: [own for own in _alike(name, row) if _is_read(name, row[own])] for name in wanted if name not in row}
    return {name: own[0] for name, own in found.items() if own}


def _is_read(name: str, value: Any) -> bool:
    """Return whether a column may hold a value, and the value says something; `Tools: "hammer"` is no list of tools."""
    if isinstance(value, str):
        return value.strip() not in ("", "[]") and (name not in LISTS or LIST.match(value) is not None)
    if name in TURNS:
        return _is_turns(value) and len(value) > 0
    if name in LISTS:
        return isinstance(value, Sequence) and len(value) > 0
    if isinstance(value, float):
        return math.isfinite(value)  # data frames write a missing value as NaN
    return isinstance(value, int) and not isinstance(value, bool)


@lru_cache(1024)  # for every column of every row
def bare(name: str) -> str:
    """Return a column's name without case, white space around it, a byte order mark and a plural's s."""
    return name.strip("\ufeff \t\r\n\u00a0").casefold().removesuffix("s")


def shown_name(key: object) -> str:
    """Return the name of a column for people: its first 40 characters, in quotes where it is no plain word or words."""
    name = plain(str(key))[:40]
    return name if name and "," not in name and name == " ".join(name.split()) else repr(name)


def is_text(value: object) -> bool:
    """Whether a value is a text, or a number, which is read as one."""
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def is_blank(value: object) -> bool:
    """Whether a value is nothing: `None`, no text but white space, an empty list or object, or NaN for a missing one.

    >>> is_blank(" "), is_blank(float("nan")), is_blank(0)
    (True, True, False)
    """
    return not value.strip() if isinstance(value, str) else value in (None, [], {}) or value != value


def _listed(row: Row) -> str:
    return ", ".join(map(shown_name, list(row)[:12])) or "none"
