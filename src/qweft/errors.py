"""The one error that a user's input can cause, and the import of a package that an extra installs."""

import importlib
from typing import Any


class QweftError(ValueError):
    """Bad input, said in one sentence that names the thing, the value and the way out.

    The command line prints it without a traceback and exits with status 2.
    """


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
