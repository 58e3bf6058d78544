"""Rows of typed tables (Parquet files, data sets of the hub), as the JSON lines that they were made from give them."""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from qweft.errors import QweftError

ROWS_AT_A_TIME = 16
"""Rows that are decoded at a time: a file of a kilobyte can hold a thousand rows of 10 MB."""
DENSE, DENSEST, LARGE = 20, 1_000, 2**29
"""Packed more densely than DENSE to one, a file may hold one long value for many rows: they are decoded one at a time.
Beyond DENSEST a group of rows is at most LARGE bytes. Text is packed 3 to 10 to one, one prompt in all rows 200."""


def read_parquet(path: Path) -> Iterator[dict[str, Any]]:
    """Yields the rows of a file, nested columns as lists and objects.

    Raises:
        QweftError: It is no Parquet file, or has a column twice.
    """
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    try:
        table = ParquetFile(path)
        twice = [name for name, count in Counter(table.schema_arrow.names).items() if count > 1]
        if twice:
            raise QweftError(f"data {path}: the column {twice[0][:60]!r} stands twice in the table; rename one")
        as_written = of_table(table.schema_arrow)
        for batch in table.iter_batches(batch_size=_at_a_time(path, table.metadata)):
            yield from map(as_written, batch.to_pylist())
    except QweftError:  # a ValueError, too
        raise
    except (ArrowException, ArithmeticError, LookupError, ValueError) as fault:  # a time beyond Python's, another zone
        raise QweftError(
            f"data {path}: not readable as Parquet ({(str(fault) or repr(fault)).splitlines()[0]})"
        ) from fault


def _at_a_time(path: Path, metadata: Any) -> int:
    """Returns how many rows are decoded at a time, by the sizes that the file states.

    Raises:
        QweftError: It would decode to gigabytes from little.
    """
    sizes = [metadata.row_group(place).total_byte_size for place in range(metadata.num_row_groups)]
    packed, whole = path.stat().st_size, sum(sizes)
    if whole > DENSEST * packed and max(sizes) > LARGE:
        raise QweftError(
            f"data {path}: {packed:,} bytes hold a group of rows of {max(sizes):,}; write it anew with smaller groups "
            "(row_group_size), or without the columns that are not read"
        )
    return ROWS_AT_A_TIME if whole <= DENSE * packed else 1


def of_table(schema: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Returns a function that gives a row's numbers the digits that were written; schema is Arrow's.

    It also drops null keys of objects in lists.
    """
    kinds = {field.name: field.type for field in schema if "float" in str(field.type) and str(field.type) != "double"}

    def as_written(row: dict[str, Any]) -> dict[str, Any]:
        shortest = {name: _shortest(row[name], kind) for name, kind in kinds.items() if name in row}
        return _without_nulls({**row, **shortest})

    return as_written


def _shortest(value: Any, kind: Any) -> Any:
    """Returns a value with the fewest digits that are its own: 0.1 of 32 bits is 0.10000000149011612 in 64."""
    import numpy as np
    import pyarrow.types as types

    if value is None or not isinstance(value, float | list | dict):
        return value
    if isinstance(value, float):
        number = {16: np.float16, 32: np.float32}.get(kind.bit_width) if types.is_floating(kind) else None
        return value if number is None else float(str(number(value)))
    if types.is_map(kind):  # a list of pairs
        return [(_shortest(key, kind.key_type), _shortest(each, kind.item_type)) for key, each in value]
    if isinstance(value, list):
        kind = getattr(kind, "storage_type", kind)  # of arrays of several dimensions
        return [_shortest(each, kind.value_type) for each in value] if hasattr(kind, "value_type") else value
    return (
        {field.name: _shortest(value.get(field.name), field.type) for field in kind} if types.is_struct(kind) else value
    )


def _without_nulls(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row whose lists (of turns, calls, tools) have no keys that the table has for other objects alone."""
    return {key: _inner_without_nulls(value, in_list=False) for key, value in row.items()}


def _inner_without_nulls(value: Any, in_list: bool) -> Any:
    if isinstance(value, dict):  # outside of lists a null stays, which data.columns may name
        kept = {key: each for key, each in value.items() if not in_list or each is not None}
        return {key: _inner_without_nulls(each, in_list) for key, each in kept.items()}
    return [_inner_without_nulls(each, in_list=True) for each in value] if isinstance(value, list) else value
