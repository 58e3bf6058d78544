"""Standard output and error that pass on no character which controls a terminal."""

import io
import re
import sys
from collections.abc import Iterable
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

from qweft.core.text import strip_controls

BAR_MOVES = re.compile(r"(?:\n|\x1b\[A)*")
"""What tqdm writes to step between several bars."""


class PlainStream:
    """A text stream that removes control characters, but not of `rich`; with `has_bars`, tqdm may draw its bars."""

    def __init__(self, stream: Any, has_bars: bool = False):
        self.stream = stream
        self.has_bars = has_bars

    def write(self, text: str) -> int:
        """Write the text without control characters; return its length."""
        if self.has_bars and BAR_MOVES.fullmatch(text):
            self.stream.write(text)
        elif self.has_bars:
            # a bar is drawn over itself: its carriage return stays, at either end
            before = "\r" if text.startswith("\r") else ""
            after = "\r" if len(text) > 1 and text.endswith("\r") else ""
            self.stream.write(f"{before}{strip_controls(text)}{after}")
        else:
            self.stream.write(strip_controls(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write several texts."""
        self.write("".join(lines))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def protect_streams() -> None:
    """Make standard output and error remove control characters, also of libraries, for the rest of the process."""
    # The redirections are never left, as a traceback is printed last of all. A stream is None where the shell closed
    # it (>&-).
    if not isinstance(sys.stdout, PlainStream):
        redirect_stdout(PlainStream(sys.stdout or io.StringIO())).__enter__()
    if not isinstance(sys.stderr, PlainStream):
        redirect_stderr(PlainStream(sys.stderr or io.StringIO(), has_bars=True)).__enter__()
