"""The error for bad user input, what is said when a command is stopped, and imports of optional dependencies."""

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


class QweftError(ValueError):
    """Bad user input.

    The message is one sentence that names the setting, its value and a way to fix it. The command line prints it
    without a traceback and exits with status 2.
    """


class StoppedError(KeyboardInterrupt):
    """A signal asks the process to end; `number` is the signal's. Whatever handles Ctrl-C handles it too."""

    def __init__(self, number: int):
        super().__init__(number)
        self.number = number


@contextmanager
def saying_when_stopped(what_is_kept: Callable[[], str]) -> Iterator[None]:
    """Add a note to a Ctrl-C or a signal that ends the block: what is kept of the work, and how to go on.

    Args:
        what_is_kept: Returns the note, which the command line prints.
    """
    try:
        yield
    except KeyboardInterrupt as stop:
        stop.add_note(what_is_kept())
        raise


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
