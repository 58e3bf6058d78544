"""Checks of the data section, before a model is loaded."""

import re
from pathlib import Path

from qweft.core.errors import QweftError
from qweft.core.files import named_path
from qweft.core.schema import check_values
from qweft.data.config import DataConfig, SourceConfig
from qweft.data.formats import formats_of
from qweft.data.read import check_place, named
from qweft.data.template import check_template


def check_data_config(config: DataConfig) -> None:
    """Check the limits, the template, the names of columns, and several sources."""
    check_values(config, "data")
    if config.template is not None:
        check_template(config.template)
    for columns in (config.columns, *(each.columns for each in config.sources or ())):
        formats_of(columns)
    if config.sources is not None:
        _check_sources(config, config.sources)


def _check_sources(config: DataConfig, sources: list[SourceConfig]) -> None:
    if not sources:
        raise QweftError("data.sources is empty; name at least one source, or leave it out")
    if config.source != config.together:
        raise QweftError(f"data.source {config.source} and data.sources are both given; leave one of them out")
    for place, each in enumerate(sources):
        name = f"data.sources[{place}]"
        if each.weight is not None and each.rows is not None:
            raise QweftError(f"{name} ({each.source}): weight and rows exclude each other; give one of them")
        twice = next((one for one in sources[:place] if same_source(one.source, each.source)), None)
        if twice is not None:
            raise QweftError(f"{name}: {each.source} is {twice.source} once more; give each source once, with a weight")
    asked = sum(each.rows or 0 for each in sources)
    if config.train_rows is not None and asked > config.train_rows:
        raise QweftError(f"data.sources ask for {asked:,} training rows; raise data.train_rows ({config.train_rows:,})")


def same_source(one: str, other: str) -> bool:
    """Return whether two sources are equal, or two names of one file, folder or data set on the hub."""
    return _place(one) == _place(other)


def may_share(one: str, other: str) -> bool:
    """Return whether two sources are the same, a folder and a file in it, or one data set with and without its part."""
    first, second = _place(one), _place(other)
    if isinstance(first, Path) and isinstance(second, Path):
        return first == second or first == second.parent or second == first.parent
    wholes = {re.sub(":[^@]*", "", str(place)) for place in (first, second)}
    return first == second or (len(wholes) == 1 and bool(wholes & {first, second}))


def _place(source: str) -> Path | str:
    """Return the path of a source that is here, else its id on the hub with the split that is read."""
    path = named_path(source)
    if path.exists():
        return path.resolve()
    name, _, split = named(source).partition("@")
    return f"{name}@{split or 'train'}"


def check_places(config: DataConfig, output: str | None = None) -> None:
    """Check that the files and folders of a run's data exist, and are not its output, before a model is loaded."""
    for source in config.places:
        check_place(source)
        folder = named_path(source)
        if output is not None and folder.is_dir() and folder.resolve() == named_path(output).resolve():
            raise QweftError(f"output {output} is the folder of the data; choose another --output, as {output}/run")
