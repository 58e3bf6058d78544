"""The console and the streams that commands print through. Names, data and messages cannot control the terminal."""

import re
import sys
from collections.abc import Iterable
from contextlib import redirect_stderr, redirect_stdout
from typing import IO, Any

from rich import console as rich_console
from rich.segment import Segment

from qweft.text import plain

MOVES = re.compile(r"(?:\n|\x1b\[A)*")
"""What tqdm writes to step between several bars."""


class PlainStream:
    """A text stream that removes control characters; `rich` and the system's own layout do not pass through it.

    Args:
        stream: The stream that is written to.
        has_bars: Whether tqdm may draw its bars here: a carriage return at either end of a write, and steps up.
    """

    def __init__(self, stream: IO[str], has_bars: bool = False):
        self.stream = stream
        self.has_bars = has_bars

    def write(self, text: str) -> int:
        """Write the text without control characters; return its length."""
        if self.has_bars and MOVES.fullmatch(text):
            self.stream.write(text)
        elif self.has_bars:
            begin, end = "\r" * text.startswith("\r"), "\r" * (len(text) > 1 and text.endswith("\r"))
            self.stream.write(f"{begin}{plain(text)}{end}")
        else:
            self.stream.write(plain(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write several texts."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def protect_streams() -> None:
    """Make standard output and standard error remove control characters, for the rest of the process.

    It also holds for libraries: warnings, logging and tracebacks write there.
    """
    if not isinstance(sys.stdout, PlainStream):
        redirect_stdout(PlainStream(sys.stdout)).__enter__()  # never left: a traceback is printed last of all
    if not isinstance(sys.stderr, PlainStream):
        redirect_stderr(PlainStream(sys.stderr, has_bars=True)).__enter__()


class Console(rich_console.Console):
    """A rich console that reads no markup in text and renders no control characters but its own.

    Args:
        options: Options of `rich.console.Console`.
    """

    def __init__(self, **options: Any):
        super().__init__(markup=False, emoji=False, **options)

    @property
    def file(self) -> IO[str]:
        """The stream itself: this console's colours and cursor moves are wanted, and its text is plain already."""
        found: Any = super().file
        return found.stream if isinstance(found, PlainStream) else found

    @file.setter
    def file(self, new_file: IO[str]) -> None:
        rich_console.Console.file.__set__(self, new_file)  # type: ignore[attr-defined]

    def render(self, renderable: Any, options: Any = None) -> Iterable[Segment]:
        """Render an object, without control characters in its text."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(plain(segment.text), segment.style)
