"""The error for bad user input, what is said when a command is stopped, and imports of optional dependencies."""

import importlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

MOST_WAITING = 12
"""How many times the seconds of `giving_up_after` a block may last by the clock, if it hardly runs."""


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
    """Add a note to what ends the block: Ctrl-C, a signal, or a disk's error. It says what is kept, and how to go on.

    Args:
        what_is_kept: Returns the note, which the command line prints.
    """
    try:
        yield
    except (KeyboardInterrupt, OSError) as stop:
        with suppress(OSError):  # of a disk that is gone nothing is known
            stop.add_note(what_is_kept())
        raise


@contextmanager
def giving_up_after(seconds: float, sentence: str) -> Iterator[None]:
    """End a block that a stranger's file may keep busy for good.

    Only the main thread can be interrupted, only where the system has interval timers, and only between two operations
    of Python. Elsewhere nothing changes. The thread's own processor time counts, so that other work on the machine
    ends nothing. By the clock the block has `MOST_WAITING` times as long, in which a pause counts as one look.

    Args:
        seconds: How much processor time the block may take.
        sentence: The error's.

    Raises:
        QweftError: In the block, after these seconds.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return

    spent, looks = time.thread_time(), 0

    def give_up(*_: Any) -> None:
        nonlocal looks
        looks += 1
        if time.thread_time() - spent >= seconds or looks >= 4 * MOST_WAITING:
            raise QweftError(sentence)

    before = signal.signal(signal.SIGALRM, give_up)
    timer = signal.setitimer(signal.ITIMER_REAL, seconds, seconds / 4)  # again and again, since libraries hide errors
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)  # first, or an alarm now would end the process
        signal.signal(signal.SIGALRM, before)
        signal.setitimer(signal.ITIMER_REAL, *timer)


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
    except Exception as error:  # as over a settings file of its own
        reason = (str(error).splitlines() or [""])[0][:200]
        raise QweftError(
            f"{what} needs the package {module.partition('.')[0]}, which does not load ({type(error).__name__}: "
            f"{reason}); install it anew, or see to its settings file"
        ) from error
