"""Private parts of Numba: the name of the file of the current folder from which it takes its settings."""

from typing import Any


def read_settings_from(name: str, config: Any) -> None:
    """Name the file that Numba looks for before each compilation; there is no public function or variable for it.

    Args:
        name: The file.
        config: The module `numba.core.config`.
    """
    config._config_fname = name
