"""Rows of a data set on the hub."""

from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

from qweft.core.errors import QweftError, first_line
from qweft.data.read.location import HUB_ID
from qweft.internals.providers import from_the_cache
from qweft.models.hub import why_silent


def read_hub(source: str, stream: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (where, row) of a split of a data set on the hub, or of its copy in the local cache."""
    import datasets

    parts = HUB_ID.fullmatch(source)
    assert parts is not None  # `check_source` takes every other name for a path
    split = parts["split"] or "train"
    silence = why_silent(f"datasets/{parts['id']}/resolve/main/README.md")
    number = 0
    # without an answer, the package datasets would try for most of a minute
    source_of_files = from_the_cache() if silence else nullcontext()
    try:
        with source_of_files:
            rows = datasets.load_dataset(parts["id"], parts["part"], split=split, streaming=stream)
        for number, row in enumerate(rows, 1):
            yield f"{source}, row {number}", dict(row)
    except Exception as fault:  # a connection may break while rows are streamed
        reason = silence or first_line(fault)[:200].rstrip(".")
        raise QweftError(
            f"data {source}: no file or folder, and no row {number + 1} of {split} on the hub ({reason})"
        ) from fault
