"""The rows of a source, whatever it is."""

from collections.abc import Iterator
from itertools import islice

from qweft.core.files import named_path
from qweft.data.read.catalogue import expand_name
from qweft.data.read.embedded import EMBEDDED, embedded_rows
from qweft.data.read.files import LocatedRow, read_file
from qweft.data.read.folder import read_folder
from qweft.data.read.hub import read_hub
from qweft.data.read.location import check_source


def located_rows(source: str, max_rows: int | None, notes: list[str]) -> Iterator[LocatedRow]:
    """Yield (where, row or error) of a data source in order; `notes` receives encodings and delimiters taken."""
    source = expand_name(source)
    check_source(source)
    path = named_path(source)
    rows: Iterator[LocatedRow]
    if source.startswith(EMBEDDED):
        rows = embedded_rows(source)
    elif path.is_dir():
        rows = read_folder(path, notes)
    elif path.exists():
        rows = read_file(path, notes)
    else:
        rows = read_hub(source, stream=max_rows is not None)
    # readers yield row by row, so that no more is read than is taken
    yield from islice(rows, max_rows)
