"""Names that may leave this machine."""

from pathlib import Path


def public_name(source: str) -> str:
    """A data source or model as a card names it: of a local path its last part alone.

    >>> public_name("embedded:chitchat"), public_name("/")
    ('embedded:chitchat', '/')
    """
    path = Path(source).expanduser()
    return path.resolve().name or source if path.exists() else source
