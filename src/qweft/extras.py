"""Packages that only some parts need, imported where they are used."""

import importlib
from typing import Any

from qweft.errors import QweftError


def require(module: str, extra: str, what: str) -> Any:
    """The module, imported.

    Args:
        module: Dotted name.
        extra: Our extra that installs it.
        what: Begins the sentence where it is missing: "a Qiskit circuit".

    Raises:
        QweftError: If it is not installed, or does not load.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise QweftError(
            f"{what} needs the package {module.partition('.')[0]}; pip install 'qweft[{extra}]' ({error})"
        ) from error
