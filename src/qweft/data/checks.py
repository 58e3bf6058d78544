"""Checks of the data section, before a model is loaded."""

from qweft.data.columns import check_columns
from qweft.data.config import DataConfig
from qweft.data.formats import columns
from qweft.data.read import check_place
from qweft.errors import QweftError


def check_data_config(config: DataConfig) -> None:
    """Check the length limits, the template, and the names of columns.

    Raises:
        QweftError: A value is out of range; the message names the key, the value and what is allowed.
    """
    if config.max_length < 2:
        raise QweftError(f"max_length {config.max_length}: a row needs at least 2 tokens; use 128 or more")
    if config.max_characters is not None and config.max_characters < 1:
        raise QweftError(
            f"data.max_characters must be at least 1, got {config.max_characters}; leave it out to keep all rows"
        )
    if config.template is not None:
        from qweft.data.template import check_template  # here, since templates are rare and need jinja2

        check_template(config.template)
    check_columns(config.columns, columns())


def check_places(config: DataConfig) -> None:
    """Check that the files and folders of a run's data exist, before a model is loaded.

    Raises:
        QweftError: One is missing.
    """
    for source in (config.source, config.validation_source, config.test_source):
        if source is not None:
            check_place(source)
