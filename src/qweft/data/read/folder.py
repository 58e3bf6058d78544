"""Rows of a folder: the files in it, or what `save_to_disk` of the package datasets wrote."""

from collections.abc import Iterator
from pathlib import Path

from qweft.core.errors import QweftError
from qweft.core.text import join_few
from qweft.data.conversation import TEXT, Message, default_group
from qweft.data.read.files import LocatedRow, drop_nulls_in_lists, read_file
from qweft.data.read.location import FILE_TYPES, PLAIN_TEXTS

ABOUT_THE_DATA = {
    *("readme", "license", "licence", "changelog", "citation", "notice"),
    *("dataset_infos", "dataset_info", "dataset_dict"),
}
"""Names of files that tell of a data set, in its folder."""


def read_folder(folder: Path, notes: list[str]) -> Iterator[LocatedRow]:
    """Yield the rows of all files of a folder, of plain texts only if there is nothing else."""
    if (folder / "state.json").is_file():  # of `save_to_disk`
        yield from _read_saved_data_set(folder)
        return
    files = _data_files(folder)
    if not files:
        raise QweftError(
            f"data {folder}: the folder holds no file ending in {', '.join(FILE_TYPES)}{_hint_below(folder)}"
        )
    if len(files) > 1:
        notes.append(f"{folder} is read as {join_few(file.name for file in files)}")
    if _is_plain(files[0]):
        yield from _read_plain_texts(files, notes)
        return
    for file in files:
        yield from read_file(file, notes)


def _data_files(folder: Path) -> list[Path]:
    """Return the files that hold the rows of a folder, by name: its tables, or its plain texts if it has no table."""
    files: list[Path] = []
    for file in sorted(folder.iterdir()):
        is_data = file.suffix.lower() in FILE_TYPES and file.stem.lower() not in ABOUT_THE_DATA
        if is_data and not file.name.startswith("."):
            files.append(file)
    tables = [file for file in files if not _is_plain(file)]
    return tables or files


def _is_plain(file: Path) -> bool:
    return file.suffix.lower() in PLAIN_TEXTS


def _read_plain_texts(files: list[Path], notes: list[str]) -> Iterator[LocatedRow]:
    """Yield the rows of plain texts; equal ones share a group, as one would tell what the other holds."""
    groups: dict[str, str] = {}
    for file in files:
        for where, row in read_file(file, notes):
            if isinstance(row, dict):
                content_hash = default_group([Message(TEXT, row["text"])])
                row["group"] = groups.setdefault(content_hash, row["group"])
            yield where, row


def _read_saved_data_set(folder: Path) -> Iterator[LocatedRow]:
    import datasets

    for number, row in enumerate(datasets.load_from_disk(str(folder)), 1):
        yield f"{folder.name}, row {number}", drop_nulls_in_lists(row)


def _hint_below(folder: Path) -> str:
    """Return what to name instead of a folder without data, as the end of a sentence."""
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.name.startswith("."):
            return f"; give one of its folders, such as {path}"
    return ""
