"""Progress of long steps on standard error: one line that is redrawn, or a line every ten seconds through a pipe.

rich and tqdm draw bars in a terminal alone. People watch long runs in log files, which need whole lines.
"""

import os
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from qweft.core.streams import PlainStream
from qweft.core.text import many, strip_controls

T = TypeVar("T")

QUIET_SECONDS = 5.0
"""Time until progress is first shown: short steps show none."""
PIPED_SECONDS = 10.0
REDRAWN_SECONDS = 0.5
"""Time between two lines through a pipe, and between two redraws in a terminal."""
ERASE_LINE = "\x1b[K"

_outermost = threading.Lock()
"""Held by the progress that is shown: steps inside it show nothing."""


def is_launched() -> bool:
    """Whether accelerate or torchrun started this process; RANK alone may be anybody's variable."""
    return os.environ.get("LOCAL_RANK", "-1") != "-1"


def is_beside_the_first() -> bool:
    """Whether a launcher started this process beside a first one, which prints and writes."""
    return is_launched() and os.environ.get("RANK", "0") != "0"


class _Display:
    """What is known of a step, and the thread that shows it."""

    def __init__(self, title: str, total: int | None, noun: str) -> None:
        self.title = title
        self.total = total
        self.noun = noun
        self.done = 0
        self.note = ""
        self.started = time.monotonic()
        self.ended = threading.Event()
        # rich and this display write to the stream itself, as a PlainStream would remove the erasing of a line
        self.stream: Any = sys.stderr.stream if isinstance(sys.stderr, PlainStream) else sys.stderr
        self.is_terminal = self.stream.isatty()

    def advance(self, steps: int, note: str = "") -> None:
        """Count some steps, and perhaps change the note: "loss 2.345"."""
        self.done += steps
        self.note = note

    @property
    def line(self) -> str:
        """How far the step is: "evaluating: 3 of 8 rows, 6 s, about 10 s left"."""
        seconds = time.monotonic() - self.started
        parts = [f"{seconds:.0f} s"]
        if self.total is not None:
            parts.insert(0, f"{self.done:,} of {many(self.total, self.noun)}")
            if self.done:
                left = seconds / self.done * (self.total - self.done)
                parts.append(f"about {left:.0f} s left")
        if self.note:
            parts.append(self.note)
        return strip_controls(f"{self.title}: {', '.join(parts)}")

    def show(self) -> None:
        """Show the line from time to time, until the step has ended; a terminal forgets it then."""
        if self.ended.wait(QUIET_SECONDS):
            return
        if self.is_terminal:
            self._redraw()
        else:
            self._print_lines()

    def _redraw(self) -> None:
        while True:
            self._write(f"\r{self.line}{ERASE_LINE}")
            if self.ended.wait(REDRAWN_SECONDS):
                self._write(f"\r{ERASE_LINE}")
                return

    def _print_lines(self) -> None:
        while True:
            self._write(f"{self.line}\n")
            if self.ended.wait(PIPED_SECONDS):
                return

    def _write(self, text: str) -> None:
        print(text, end="", file=self.stream, flush=True)


@contextmanager
def progress(title: str, total: int | None = None, noun: str = "") -> Iterator[Callable[..., None]]:
    """Show on standard error how far the block is, from its fifth second on: "evaluating: 3 of 8 rows, 6 s".

    Yield a function to call after some steps, with their number, and perhaps a note: "loss 2.345".
    """
    if is_beside_the_first() or not _outermost.acquire(blocking=False):
        yield lambda steps, note="": None
        return
    display = _Display(title, total, noun)
    thread = threading.Thread(target=display.show, daemon=True)
    thread.start()
    try:
        yield display.advance
    finally:
        display.ended.set()
        thread.join()
        _outermost.release()


def with_progress(
    items: Collection[T], title: str, noun: str, steps_of: Callable[[T], int] = lambda item: 1
) -> Iterator[T]:
    """Yield the items, each with its number of steps, and show how far that is, as `progress` does."""
    with progress(title, sum(map(steps_of, items)), noun) as advance:
        for item in items:
            yield item
            advance(steps_of(item))
