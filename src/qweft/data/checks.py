"""Checks of the data section, before a model is loaded."""

from qweft.core.errors import QweftError
from qweft.core.files import named_path
from qweft.core.reader import check_values
from qweft.data.config import DataConfig, SourceConfig
from qweft.data.formats import formats_with
from qweft.data.read.location import check_source, same_source
from qweft.data.template import check_template


def check_data_config(config: DataConfig) -> None:
    """Check the limits, the template, the names of columns, and several sources."""
    check_values(config, "data")
    if config.template is not None:
        check_template(config.template)
    formats_with(config.columns)
    if config.sources is not None:
        _check_sources(config, config.sources)


def _check_sources(config: DataConfig, sources: list[SourceConfig]) -> None:
    """Check that several sources differ, and that their numbers of rows go together."""
    for entry in sources:
        formats_with(entry.columns)
    if not sources:
        raise QweftError("data.sources is empty; name at least one source, or leave it out")
    if config.source != config.joined_names:
        raise QweftError(f"data.source {config.source} and data.sources are both given; leave one of them out")
    for index, entry in enumerate(sources):
        _check_entry(entry, sources[:index], f"data.sources[{index}]")
    rows = sum(entry.rows or 0 for entry in sources)
    if config.train_rows is not None and rows > config.train_rows:
        raise QweftError(f"data.sources ask for {rows:,} training rows; raise data.train_rows ({config.train_rows:,})")


def _check_entry(entry: SourceConfig, before: list[SourceConfig], name: str) -> None:
    """Check one of several sources, and that none before it is the same."""
    if entry.weight is not None and entry.rows is not None:
        raise QweftError(f"{name} ({entry.source}): weight and rows exclude each other; give one of them")
    for earlier in before:
        if same_source(earlier.source, entry.source):
            raise QweftError(
                f"{name}: {entry.source} is {earlier.source} once more; give each source once, with a weight"
            )


def check_sources(config: DataConfig, output: str | None = None) -> None:
    """Check that the files and folders of a run's data exist, and are not its output."""
    for source in config.all_sources:
        check_source(source)
        folder = named_path(source)
        if output is not None and folder.is_dir() and folder.resolve() == named_path(output).resolve():
            raise QweftError(f"output {output} is the folder of the data; choose another --output, as {output}/run")
