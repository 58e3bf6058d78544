"""Which columns of a row its format reads, and rows whose columns the user named."""

from collections.abc import Mapping
from functools import cache

from qweft.data.columns import KEY, LONGEST_NAME, bare, columns_of, is_blank, is_text, kind_of, more_of, refuse_unread
from qweft.data.formats import (
    NEUTRAL,
    PAIRS,
    PLAIN,
    READERS,
    THOUGHT_COLUMN,
    WITH_RESPONSE,
    format_of,
    has_turns,
    refuse_two_that_ask,
)
from qweft.data.turns import Row, RowError, with_turns

TOOLS = {"tools", "functions"}
"""Columns that hold tools beside a list of messages."""


def of_named(row: Row, columns: Mapping[str, str], where: str, key: str = KEY) -> Row:
    """Return a row without columns of other formats than the one whose columns `data.columns` names.

    A file may hold columns of several, and the first of `READERS` would be read in place of what was named.

    Args:
        row: Values by the names that the formats have.
        columns: Name of the format's column to name in the file, as in `data.columns`; an empty one stands for none.
        where: Place of the row for errors.
        key: The config key that holds them, for errors.

    Raises:
        QweftError: A column is named that the row's format does not read.
    """
    if not columns:
        return row
    told = {name for name, own in columns.items() if own} - NEUTRAL
    found = with_turns(_without_others(row, told, where, columns.get("response", "")) if told else row)
    name = format_of(found)
    if columns.get("context") and not is_text(found.get("context")) and not is_blank(found.get("context")):
        raise RowError(where, f"{key}.context {columns['context']}: it holds {kind_of(found['context'])}, not text")
    if name != "unknown":
        refuse_unread(found, name, _read_of(found, name), columns, where, key)
    return found


def _read_of(row: Row, name: str) -> set[str]:
    """Return the columns that are read of a row of a format."""
    key = next((each for each, known_as, _ in READERS if known_as == name and row.get(each) is not None), None)
    needed = columns_of(name)
    found = {*(needed if key is None or key in needed else ()), *([] if key is None else [key])}
    found |= {"response"} if any(is_blank(row.get(each)) for each in WITH_RESPONSE & {*needed}) else set()
    has_tools = not TOOLS.isdisjoint(row) and has_turns(row)
    found.update(more_of(name, False), TOOLS if has_tools else ())
    return found if is_text(row.get("context")) else found - {"context"}


def unread_of(row: Row, named: Row, name: str, columns: Mapping[str, str]) -> list[str]:
    """Return the columns of a file's row that hold something and are not read, cut at `LONGEST_NAME` characters.

    Args:
        row: Values by the names in the file.
        named: The row as `of_named` returns it.
        name: Name of its format.
        columns: As in `data.columns`; what its empty names leave out is none of them.
    """
    taken = {own if own in row else own.partition(".")[0] for own in columns.values()}
    read = _read_of(named if TOOLS.isdisjoint(named) else with_turns(named), name)
    taken.update(key for key in row if columns.get(key) == "" or (key in read and key in named and key not in columns))
    return [str(key)[:LONGEST_NAME] for key, value in row.items() if key not in taken and not is_blank(value)]


def _without_others(row: Row, told: set[str], where: str, response: str) -> Row:
    forms = _forms()
    fitting = [key for key, form in forms if told <= form and key in row]
    if fitting[:1] == ["instruction"] and told == {"response"}:
        if len(fitting) == 1:
            refuse_two_that_ask(row, where, response)
        fitting = fitting[1:] or fitting
    key = next((key for key in fitting if not is_blank(row[key])), fitting[0] if fitting else None)
    if key is None:
        return row
    own = {column for each, form in forms if each == key and told <= form for column in form}  # of several answers
    others = {column for _, form in forms for column in form} - own - NEUTRAL
    if "response" in told:
        others |= WITH_RESPONSE - told
    if key == PLAIN:
        others.add(THOUGHT_COLUMN)
    alike = {*map(bare, others)}  # a Question beside the named text
    return {name: value for name, value in row.items() if bare(str(name)) not in alike}


@cache
def _forms() -> tuple[tuple[str, set[str]], ...]:
    """Return the column that tells each format, in their order, with all that it needs."""
    found = [(key, {key, *(needed if key in (needed := columns_of(name)) else ())}) for key, name, _ in READERS]
    return (
        *((key, form | {"response"} if WITH_RESPONSE & form else form) for key, form in found),
        *((pair.asks, {pair.asks, pair.answers}) for pair in PAIRS),
        (PLAIN, {PLAIN}),
    )
