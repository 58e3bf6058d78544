"""Checks of the data section, before a model is loaded."""

from qweft.data.config import DataConfig, SourceConfig
from qweft.data.formats import formats_of
from qweft.data.hub import named
from qweft.data.read import check_place
from qweft.errors import QweftError
from qweft.files import named_path
from qweft.schema import check_values


def check_data_config(config: DataConfig) -> None:
    """Check the limits, the template, the names of columns, and several sources."""
    check_values(config, "data")
    if config.template is not None:
        from qweft.data.template import check_template  # here, since templates are rare and need jinja2

        check_template(config.template)
    formats_of(config.columns)
    for place, each in enumerate(config.sources or ()):
        formats_of(each.columns, f"data.sources[{place}].columns")
    if config.sources is not None:
        _check_sources(config, config.sources)
    for name in ("source", "validation_source", "test_source"):
        place = getattr(config, name)
        if place is not None and not place.strip():  # it would be the current folder
            raise QweftError(f"data.{name} is empty; name a file, a folder, embedded:NAME or a hub id")


def _check_sources(config: DataConfig, sources: list[SourceConfig]) -> None:
    if not sources:
        raise QweftError("data.sources is empty; name at least one source, or leave it out")
    if config.source != config.together:
        raise QweftError(f"data.source {config.source} and data.sources are both given; leave one of them out")
    if config.file is not None:
        raise QweftError(f"data.file {config.file} does not go with data.sources; give the file as one of them")
    for place, each in enumerate(sources):
        name = f"data.sources[{place}]"
        if each.weight is not None and each.rows is not None:
            raise QweftError(f"{name} ({each.source}): weight and rows exclude each other; give one of them")
        twice = next((one for one in sources[:place] if same_source(one.source, each.source)), None)
        if twice is not None:
            raise QweftError(f"{name}: {each.source} is {twice.source} once more; give each source once, with a weight")
    asked = sum(each.rows or 0 for each in sources)
    if config.train_rows is not None and asked > config.train_rows:
        raise QweftError(
            f"data.sources ask for {asked:,} training rows, and data.train_rows is {config.train_rows:,}; raise it, or "
            "leave it out"
        )


def same_source(one: str, other: str) -> bool:
    """Return whether two sources are equal, or two names of one file, folder or data set on the hub."""
    paths = [named_path(source) for source in (one, other)]
    if any(path.exists() for path in paths):
        return all(path.exists() for path in paths) and paths[0].samefile(paths[1])
    return _in_full(one) == _in_full(other)


def may_share(one: str, other: str) -> bool:
    """Return whether two sources are the same, a folder and a file in it, or one data set with and without its part."""
    if same_source(one, other):
        return True
    paths = [named_path(source) for source in (one, other)]
    if any(path.exists() for path in paths):
        first, second = (path.resolve() for path in paths)
        return all(path.exists() for path in paths) and (first == second.parent or second == first.parent)
    (name, split), (other_name, other_split) = (_in_full(source).split("@", 1) for source in (one, other))
    names = (name.partition(":")[0], other_name.partition(":")[0])
    has_no_part = name == names[0] or other_name == names[1]
    return split == other_split and names[0] == names[1] and has_no_part


def _in_full(source: str) -> str:
    """Return the hub id for a name that Qweft knows, and the split that is read where a source names none."""
    name, _, split = source.partition("@")
    data = named(source)
    return f"{data.source if data else name}@{split or 'train'}"


def check_places(config: DataConfig, output: str | None = None) -> None:
    """Check that the files and folders of a run's data exist, and are not its output, before a model is loaded."""
    for source in config.places:
        check_place(source)
        folder = named_path(source)
        if output is not None and folder.is_dir() and folder.resolve() == named_path(output).resolve():
            raise QweftError(
                f"output {output} is the folder of the data, and what is written there would be read as rows; choose "
                f"another --output, as {output}/run"
            )
