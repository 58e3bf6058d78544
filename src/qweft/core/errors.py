"""The error for bad user input, what is said when a command is stopped, and imports of optional dependencies."""

import importlib
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from errno import ENOMEM
from typing import Any


class QweftError(ValueError):
    """Bad user input.

    The message is one sentence that names the setting, its value and a way to fix it. The command line prints it
    without a traceback and exits with status 2.
    """


class OutOfMemoryError(QweftError):
    """The device or the machine has no memory left for the work."""


NO_MEMORY = re.compile(
    r"out of memory|(can't|cannot) allocate memory|not enough memory|bad_alloc|_ALLOC_FAILED|invalid buffer size", re.I
)


def memory_said(error: BaseException) -> str | None:
    """Return the first line of an error that says that memory is not there; `None` if it says something else."""
    message = (str(error).splitlines() or [""])[0][:200].rstrip(". ")
    is_named = isinstance(error, RuntimeError) and NO_MEMORY.search(message)
    is_typed = isinstance(error, MemoryError) or getattr(error, "errno", None) == ENOMEM
    return message or "MemoryError" if is_named or is_typed else None


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message that is not empty, else the name of its type."""
    for line in str(error).splitlines():
        if line.strip():
            return line.strip()
    return type(error).__name__


@contextmanager
def told_of_memory(way: str) -> Iterator[None]:
    """Raise `OutOfMemoryError` with a way out ("lower ...") in place of PyTorch's, NumPy's or Python's own error."""
    try:
        yield
    except (MemoryError, RuntimeError, OSError) as error:
        said = memory_said(error)
        if said is None:
            raise
        raise OutOfMemoryError(f"the memory is too small ({said}); {way}") from error


class StoppedError(KeyboardInterrupt):
    """A signal asks the process to end; `number` is the signal's. Whatever handles Ctrl-C handles it too."""

    def __init__(self, number: int):
        super().__init__(number)
        self.number = number


ASKED_TO_STOP: list[int] = []
"""Numbers of the signals that a command had. Python loses an exception that rises in a weak reference's callback."""


def stop_if_asked() -> None:
    """Raise `StoppedError` again if a signal asked the process to end, and work goes on."""
    if ASKED_TO_STOP:
        raise StoppedError(ASKED_TO_STOP[0])


@contextmanager
def saying_when_stopped(what_is_kept: Callable[[], str]) -> Iterator[None]:
    """Add a note, on what is kept and how to go on, to a stop, a disk's error or want of memory that ends the block."""
    try:
        yield
    except (KeyboardInterrupt, OSError, OutOfMemoryError, MemoryError, RuntimeError) as stop:
        with suppress(OSError):  # of a disk that is gone nothing is known
            stop.add_note(what_is_kept())
        raise


def require(module: str, extra: str, what: str) -> Any:
    """Import and return a module of an extra, or raise `QweftError` that "a Qiskit circuit" (`what`) needs it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise QweftError(
            f"{what} needs the package {module.partition('.')[0]}; pip install '.[{extra}]' ({error})"
        ) from error
