"""The error for bad user input, and imports of optional dependencies."""

import importlib
from typing import Any


class QweftError(ValueError):
    """Bad user input.

    The message is one sentence that names the setting, its value and a way to fix it. The command line prints it
    without a traceback and exits with status 2.
    """


def require(module: str, extra: str, what: str) -> Any:
    """Import and return a module of an optional dependency.

    Args:
        module: Dotted name.
        extra: Extra of Qweft that installs the module.
        what: Subject of the error message, such as "a Qiskit circuit".

    Raises:
        QweftError: The module is not installed or fails to import.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise QweftError(
            f"{what} needs the package {module.partition('.')[0]}; pip install 'qweft[{extra}]' ({error})"
        ) from error
