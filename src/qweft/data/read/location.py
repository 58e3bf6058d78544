"""What a source's name means: a file, a folder, a data set on the hub or an embedded one. Cheap, nothing is read."""

import re
from pathlib import Path

from qweft.core.errors import QweftError
from qweft.core.files import named_path
from qweft.data.read.catalogue import expand_name
from qweft.data.read.embedded import EMBEDDED, check_embedded

PLAIN_TEXTS = (".txt", ".md")
TABLES = (".jsonl", ".json", ".csv", ".tsv", ".parquet")
FILE_TYPES = (*TABLES, *PLAIN_TEXTS)
"""Endings of the files that `files.py` reads."""
HUB_ID = re.compile(r"(?P<id>[A-Za-z0-9][\w.-]*(/[\w.-]+)?)(:(?P<part>[\w.-]+))?(@(?P<split>[\w.-]+))?")


def check_source(source: str) -> None:
    """Raise if a path does not exist, or an embedded data set is not known or installed."""
    if source.startswith(EMBEDDED):
        check_embedded(source)
        return
    is_path = Path(source).suffix.lower() in FILE_TYPES or HUB_ID.fullmatch(source) is None
    exists = source.strip() and named_path(source).exists()  # an empty name would be the current folder
    if is_path and not exists:
        raise QweftError(
            f"data {source}: there is no such file or folder; check the path, or give a hub id or embedded:NAME"
        )


def same_source(first: str, second: str) -> bool:
    """Return whether two sources are equal, or two names of one file, folder or data set on the hub."""
    return _locate(first) == _locate(second)


def may_share(first: str, second: str) -> bool:
    """Return whether two sources may have rows in common.

    They may if they are the same, a folder and a file in it, or a data set on the hub with and without its part.
    """
    locations = _locate(first), _locate(second)
    if locations[0] == locations[1]:
        return True
    paths = [path for path in locations if isinstance(path, Path)]
    if len(paths) == 2:
        return paths[0].parent == paths[1] or paths[1].parent == paths[0]
    whole = _drop_part(locations[0])
    return whole == _drop_part(locations[1]) and whole in locations


def _locate(source: str) -> Path | str:
    """Return the path of a source that is here, else its id on the hub with the split that is read."""
    path = named_path(source)
    if path.exists():
        return path.resolve()
    name, _, split = expand_name(source).partition("@")
    return f"{name}@{split or 'train'}"


def _drop_part(location: Path | str) -> str:
    """Return the id of a data set on the hub without its part: "gsm8k:main@train" becomes "gsm8k@train"."""
    return re.sub(":[^@]*", "", str(location))
