"""Text for people: plurals, near names, progress of long steps, and streams that cannot control a terminal."""

import difflib
import fnmatch
import io
import json
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any, TypeVar

T = TypeVar("T")

QUIET_SECONDS, PIPED_SECONDS, REDRAWN_SECONDS = 5.0, 10.0, 0.5
"""When progress is first said, and how often after that: as lines through a pipe, and redrawn in a terminal."""
_outermost = threading.Lock()
"""Held by the progress that is shown: steps inside it say nothing."""
CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters except tab and newline, marks that reverse the direction of text, and lone surrogates."""
MOVES = re.compile(r"(?:\n|\x1b\[A)*")
"""What tqdm writes to step between several bars."""


def plain(text: str) -> str:
    """Return a text without characters that control a terminal; a lone surrogate becomes U+FFFD."""
    return CONTROLS.sub(lambda found: "\ufffd" if "\ud800" <= found[0] <= "\udfff" else "", text)


def escaped(text: str) -> str:
    """Return text of models, data or the configuration on one line of Markdown, as text and never as markup."""
    return " ".join(plain(re.sub(r"([\\`*_\[\]<>#|])", r"\\\1", text)).split())


def json_text(value: Any, indent: int | None = None) -> str:
    """Return a value as JSON, with characters that control a terminal as escapes and all others as they are."""
    written = json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False)
    return CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", written)


def many(count: int, thing: str) -> str:
    """Return a count with its noun: "1 circuit", "2,500 circuits"."""
    return f"{count:,} {thing}" + ("" if count == 1 else "s")


def listed(names: Sequence[str]) -> str:
    """Return names joined as a sentence has them: "a, b and c"."""
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def met_by(pattern: str, names: Iterable[str]) -> list[str]:
    """Return the names that match a pattern: a full name, its end after a dot, or either with * and ?."""
    return [name for name in names if any(fnmatch.fnmatchcase(name, each) for each in (pattern, f"*.{pattern}"))]


def some(names: Iterable[str]) -> str:
    """Join names for a sentence; more than four are shortened to the first three, the last and the count."""
    known = list(names)
    return ", ".join(known if len(known) <= 4 else [*known[:3], f"... {known[-1]} ({len(known)} in all)"])


def near(name: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """Return the one of the known names that is most similar to a name, if one is."""
    return next(iter(difflib.get_close_matches(name[:100], list(known), cutoff=cutoff)), None)


def shown(value: Any) -> str:
    """Return the repr of a value, cut to 120 characters."""
    return cut(repr(value), 120)


def cut(text: str, most: int = 500) -> str:
    """Return a text, cut to some characters: a stranger's record may hold millions."""
    return text if len(text) <= most else f"{text[: most - 3]}..."


class PlainStream:
    """A text stream that removes control characters, but not of `rich`; with `has_bars`, tqdm may draw its bars."""

    def __init__(self, stream: Any, has_bars: bool = False):
        self.stream = stream
        self.has_bars = has_bars

    def write(self, text: str) -> int:
        """Write the text without control characters; return its length."""
        if self.has_bars and MOVES.fullmatch(text):
            self.stream.write(text)
        elif self.has_bars:  # a carriage return stays at either end
            begin, end = "\r" * text.startswith("\r"), "\r" * (len(text) > 1 and text.endswith("\r"))
            self.stream.write(f"{begin}{plain(text)}{end}")
        else:
            self.stream.write(plain(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write several texts."""
        self.write("".join(lines))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def protect_streams() -> None:
    """Make standard output and error remove control characters, also of libraries, for the rest of the process."""
    # redirections are never left: a traceback is printed last of all; a stream is None where it was closed (>&-)
    if not isinstance(sys.stdout, PlainStream):
        redirect_stdout(PlainStream(sys.stdout or io.StringIO())).__enter__()
    if not isinstance(sys.stderr, PlainStream):
        redirect_stderr(PlainStream(sys.stderr or io.StringIO(), has_bars=True)).__enter__()


def is_launched() -> bool:
    """Whether accelerate or torchrun started this process; RANK alone may be anybody's variable."""
    return os.environ.get("LOCAL_RANK", "-1") != "-1"


def is_beside_the_first() -> bool:
    """Whether a launcher started this process beside a first one, which prints and writes."""
    return is_launched() and os.environ.get("RANK", "0") != "0"


@contextmanager
def progress(what: str, total: int | None = None, thing: str = "") -> Iterator[Callable[..., None]]:
    """Say on standard error how far the block is, from its fifth second on: "evaluating: 3 of 8 rows, 6 s".

    A terminal shows one line that is redrawn and goes away. Otherwise there is a line every ten seconds. Yield a
    function to call after some steps, with their number, and perhaps a note: "loss 2.345".
    """
    if is_beside_the_first() or not _outermost.acquire(blocking=False):
        yield lambda steps, note="": None
        return
    done, notes, begun, over = 0, "", time.monotonic(), threading.Event()
    stream = sys.stderr.stream if isinstance(sys.stderr, PlainStream) else sys.stderr  # which takes the redrawn line
    drawn = stream.isatty()
    begin, end, pause = ("\r", "\x1b[K", REDRAWN_SECONDS) if drawn else ("", "\n", PIPED_SECONDS)

    def tick(steps: int, note: str = "") -> None:
        nonlocal done, notes
        done, notes = done + steps, note

    def show() -> None:
        wait = QUIET_SECONDS
        while not over.wait(wait):
            seconds = time.monotonic() - begun
            parts = [f"{seconds:.0f} s", notes]
            if total is not None:
                left = f"about {seconds / done * (total - done):.0f} s left" if done else ""
                parts = [f"{done:,} of {many(total, thing)}", parts[0], left, notes]
            line = plain(f"{what}: {', '.join(filter(None, parts))}")
            print(f"{begin}{line}", end=end, file=stream, flush=True)
            wait = pause
        if drawn and wait == pause:
            print("\r\x1b[K", end="", file=stream, flush=True)

    shower = threading.Thread(target=show, daemon=True)
    shower.start()
    try:
        yield tick
    finally:
        over.set()
        shower.join()
        _outermost.release()


def with_progress(
    items: Collection[T], what: str, thing: str, steps: Callable[[T], int] = lambda item: 1
) -> Iterator[T]:
    """Yield the items, each with its number of steps, and say how far that is, as `progress` does."""
    with progress(what, sum(map(steps, items)), thing) as tick:
        for item in items:
            yield item
            tick(steps(item))
