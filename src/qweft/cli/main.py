"""Entry point of `qweft`: finds and runs the command, and turns errors into one sentence and an exit status."""

import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout
from typing import Any, NoReturn, TypeGuard

from qweft import __version__
from qweft.cli import adapters, comparisons, machine  # noqa: F401  # they fill COMMANDS
from qweft.cli.command import COMMANDS, Command
from qweft.cli.terminal import complain, hush_libraries
from qweft.core.errors import ASKED_TO_STOP, QweftError, StoppedError, memory_said
from qweft.core.streams import protect_streams
from qweft.core.text import nearest_name, short_repr

MEMORY_WAY_OUT = "take fewer or shorter rows at a time, model.quantization, or a machine or a device with more memory"
"""The way out where the work that needs too much is not known."""

FORMER = {"sweep": "qweft tune now: put the space into its config (docs/comparison.md, Sizes)"}
"""Commands of earlier versions, and what does their work."""

LIKENESS = 0.75
"""How similar a command's name must be to be suggested, from 0 to 1."""

HELP = """usage: qweft COMMAND [ARGUMENTS]

Quantum-weighted fine-tuning of large language models: QWTHN and QTHA adapters as a method of PEFT.

commands:
{commands}

options:
  -h, --help   show this help and exit
  --version    show the version and exit

`qweft COMMAND --help` shows what a command takes. A first run on your own rows: qweft compare my.csv
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run `qweft` and return its exit status.

    Bad input (`QweftError`) prints one sentence and gives status 2. Ctrl-C, SIGTERM and SIGHUP print one sentence,
    with what is kept, and give status 130, 143 and 129. A reader that closed the pipe gives status 1. A file that the
    system, a full disk or its permissions refuse, and want of memory give status 2, with what is kept. Any other
    exception is a bug in qweft and keeps its traceback.

    Args:
        argv: The arguments after `qweft`; `None` means those of the process.
    """
    hush_libraries()
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        with _stopped_by_signals():
            try:
                _dispatch(words)
            finally:
                if sys.stdout is not None:  # the shell closed it
                    sys.stdout.flush()  # raises here on a full disk, and not when Python exits
            return 0
    except KeyboardInterrupt as stop:
        number = stop.number if isinstance(stop, StoppedError) else signal.SIGINT
        if number == signal.SIGINT:
            complain(_with_notes("interrupted", stop))
        else:
            complain(_with_notes(f"stopped by {signal.Signals(number).name}", stop))
        return 128 + number
    except BrokenPipeError:
        # The reader (head, less) has gone. Without this, Python would report the error again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        message = _describe_error(error, words)
        if message is None:
            raise
        complain(f"error: {message}")
        return 2


def _describe_error(error: Exception, words: Sequence[str]) -> str | None:
    """Return the sentence on an error that is no bug, with what is kept of the work; `None` for a bug."""
    memory = memory_said(error)
    if isinstance(error, QweftError):
        message = str(error)
    elif isinstance(error, ImportError) and error.name and not error.name.startswith("qweft"):
        package = error.name.partition(".")[0]
        message = f"qweft {words[0]} needs the package {package}; pip install '.[workbench]' ({error})"
    elif memory is not None:
        message = f"the memory is too small ({memory}); {MEMORY_WAY_OUT}"
    elif _is_refused_by_disk(error):
        message = _describe_refusal(error)
    else:
        return None
    return _with_notes(message, error)


def _is_refused_by_disk(error: Exception) -> TypeGuard[OSError]:
    """Whether the system refused a file; a missing one is a bug, as every command checks for those."""
    if not isinstance(error, OSError) or not error.errno:
        return False
    return not isinstance(error, FileNotFoundError | ConnectionError)


def _describe_refusal(error: OSError) -> str:
    """Return the sentence on a file that the system refused."""
    path = "the output" if error.filename is None else short_repr(str(error.filename))
    way_out = "make room on the disk, or see to its permissions, then give the same command again"
    return f"{path} cannot be read or written ({error.strerror}); {way_out}"


def _with_notes(message: str, error: BaseException) -> str:
    """Return a message with the notes of its error: what is kept of the work."""
    return "; ".join([message, *getattr(error, "__notes__", [])])


@contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """Make SIGTERM and SIGHUP end the block as Ctrl-C does; a second one ends the process at once.

    A signal that is ignored (nohup) or handled by another program stays so.
    """
    replaced: list[int] = []
    if threading.current_thread() is threading.main_thread():
        for name in ("SIGTERM", "SIGHUP"):  # Windows has no SIGHUP
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) == signal.SIG_DFL:
                signal.signal(number, _stop)
                replaced.append(number)
    try:
        yield
    finally:
        ASKED_TO_STOP.clear()
        for number in replaced:
            signal.signal(number, signal.SIG_DFL)


def _stop(number: int, frame: Any) -> NoReturn:
    """Handle a signal: raise, and leave a second one to the system."""
    signal.signal(number, signal.SIG_DFL)
    ASKED_TO_STOP.append(number)
    raise StoppedError(number)


def _dispatch(words: list[str]) -> None:
    """Run the command, or print the help or the version."""
    if words[:1] == ["help"] and words[1:]:
        words = [words[1], "--help"]
    name = words[0] if words else "--help"
    if name in ("-h", "--help", "help"):
        commands = "\n".join(f"  {command.name:<11}{command.short}" for command in COMMANDS.values())
        print(HELP.format(commands=commands), end="")
    elif name == "--version":
        print(f"qweft {__version__}")
    elif name in COMMANDS:
        _run(COMMANDS[name], words[1:])
    elif name in FORMER:
        raise QweftError(f"qweft {name} is {FORMER[name]}")
    else:
        nearest = nearest_name(name, [*COMMANDS, "--help", "--version"], cutoff=LIKENESS)
        way_out = "see qweft --help" if nearest is None else f"did you mean {nearest}?"
        raise QweftError(f"unknown command {name}; {way_out}")


def _run(command: Command, argv: list[str]) -> None:
    """Run a command; with --json, standard output holds the JSON alone, and all else goes to standard error."""
    protect_streams()
    from qweft.cli.parser import read  # here, since --help needs no package of the workbench

    call = read(argv, command)
    output = redirect_stdout(sys.stderr) if call.wants_json else nullcontext()
    with output:
        command.run(call)


if __name__ == "__main__":
    sys.exit(main())
