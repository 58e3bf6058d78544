"""Entry point of `qweft`: finds and runs the command, and turns errors into one sentence and an exit status."""

import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout
from typing import Any, NoReturn

from qweft import __version__
from qweft.cli import adapters, comparisons, machine  # noqa: F401  # they fill COMMANDS
from qweft.cli.command import COMMANDS
from qweft.cli.terminal import complain, hush_libraries
from qweft.core.errors import ASKED_TO_STOP, QweftError, StoppedError, memory_said
from qweft.core.streams import protect_streams
from qweft.core.text import nearest_name, short_repr

MEMORY = "take fewer or shorter rows at a time, model.quantization, or a machine or a device with more memory"
"""The way out where the work that needs too much is not known."""

FORMER = {"sweep": "qweft tune now: put the space into its config (docs/comparison.md, Sizes)"}
"""Commands of earlier versions, and what does their work."""

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
                if sys.stdout is not None:  # closed
                    sys.stdout.flush()  # it may be on a full disk
            return 0
    except KeyboardInterrupt as stop:
        number = stop.number if isinstance(stop, StoppedError) else signal.SIGINT
        how = "interrupted" if number == signal.SIGINT else f"stopped by {signal.Signals(number).name}"
        complain("; ".join([how, *getattr(stop, "__notes__", [])]))
        return 128 + number
    except BrokenPipeError:
        # The reader (head, less) has gone. Without this, Python would report the error again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        message = _message(error, words)
        if message is None:
            raise
        complain(f"error: {message}")
        return 2


def _message(error: Exception, words: Sequence[str]) -> str | None:
    """Return the sentence on an error that is no bug, with what is kept of the work; `None` for a bug."""
    if isinstance(error, QweftError):
        message = str(error)
    elif isinstance(error, ImportError) and error.name and not error.name.startswith("qweft"):
        package = error.name.partition(".")[0]
        message = f"qweft {words[0]} needs the package {package}; pip install '.[workbench]' ({error})"
    elif (memory := memory_said(error)) is not None:
        message = f"the memory is too small ({memory}); {MEMORY}"
    elif isinstance(error, OSError) and error.errno and not isinstance(error, FileNotFoundError | ConnectionError):
        place = "the output" if error.filename is None else short_repr(str(error.filename))
        way = "make room on the disk, or see to its permissions, then give the same command again"
        message = f"{place} cannot be read or written ({error.strerror}); {way}"
    else:
        return None
    return "; ".join([message, *getattr(error, "__notes__", [])])


@contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """Make SIGTERM and SIGHUP end the block as Ctrl-C does; a second one ends the process at once.

    A signal that is ignored (nohup) or handled by another program stays so.
    """
    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
        before = {n: signal.signal(n, _stop) for n in numbers if signal.getsignal(n) == signal.SIG_DFL}
    try:
        yield
    finally:
        ASKED_TO_STOP.clear()
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop(number: int, frame: Any) -> NoReturn:
    signal.signal(number, signal.SIG_DFL)
    ASKED_TO_STOP.append(number)
    raise StoppedError(number)


def _dispatch(words: list[str]) -> None:
    if words[:1] == ["help"] and words[1:]:
        words = [words[1], "--help"]
    name = words[0] if words else "--help"
    if name in ("-h", "--help", "help"):
        print(HELP.format(commands="\n".join(f"  {name:<11}{each.short}" for name, each in COMMANDS.items())), end="")
    elif name == "--version":
        print(f"qweft {__version__}")
    elif name in COMMANDS:
        protect_streams()
        from qweft.cli.parser import read  # here, since --help needs no package of the workbench

        call = read(words[1:], COMMANDS[name])
        with redirect_stdout(sys.stderr) if "json" in call.flags else nullcontext():  # it holds the JSON alone
            call.command.run(call)
    elif name in FORMER:
        raise QweftError(f"qweft {name} is {FORMER[name]}")
    else:
        close = nearest_name(name, [*COMMANDS, "--help", "--version"], cutoff=0.75)
        raise QweftError(f"unknown command {name}; " + (f"did you mean {close}?" if close else "see qweft --help"))


if __name__ == "__main__":
    sys.exit(main())
