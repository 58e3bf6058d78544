"""How tests read a source."""

from qweft.core.errors import QweftError
from qweft.data.read.rows import located_rows


def read_located(source, max_rows=None, notes=None):
    """Yield the place and columns of each row; raise the error of a row that cannot be read."""
    for where, row in located_rows(str(source), max_rows, [] if notes is None else notes):
        if isinstance(row, QweftError):
            raise row
        yield where, row


def read_rows(source, max_rows=None, notes=None):
    """The columns of each row."""
    return [row for _, row in read_located(source, max_rows, notes)]
