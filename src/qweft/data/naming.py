"""Which columns of a row its format reads, and rows whose columns the user named."""

from collections.abc import Mapping
from functools import cache

from qweft.data.columns import KEY, bare, columns_of, refuse_unread
from qweft.data.formats import (
    NEUTRAL,
    PAIRS,
    PLAIN,
    READERS,
    THOUGHT_COLUMN,
    WITH_RESPONSE,
    format_of,
    more_columns,
)
from qweft.data.turns import Row, with_turns


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
    found = with_turns(_without_others(row, told) if told else row)
    name = format_of(found)
    if name != "unknown":
        refuse_unread(found, name, read_of(found, name), columns, where, key)
    return found


def read_of(row: Row, name: str) -> set[str]:
    """Return the columns that are read of a row of a format."""
    keys = {each for each, known_as, _ in READERS if known_as == name and row.get(each) is not None}
    either = {"response"} if any(row.get(each) is None for each in WITH_RESPONSE & {*columns_of(name)}) else set()
    no_text = set() if isinstance(row.get("context", ""), str) else {"context"}
    return {*keys, *either, *columns_of(name), *more_columns(row)} - no_text


def unread_of(row: Row) -> list[str]:
    """Return the columns of a row that hold something which its format does not read."""
    found = with_turns(row)
    read = read_of(found, format_of(found))
    return [str(name) for name, value in found.items() if name not in read and value not in (None, "", [], {})]


def _without_others(row: Row, told: set[str]) -> Row:
    forms = _forms()
    key = next((key for key, form in forms if told <= form and key in row), None)
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
