"""Where answers are shown: lines for a pipe, JSON for a program, a terminal."""

import json
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from qweft.chat.answering import Answering
from qweft.text import many

WIDE = 80
"""Columns of text from which on two answers stand beside each other."""
REDRAWN = 0.08
"""Seconds between two drawings of columns that grow."""

Asked = Sequence[tuple[str, Answering]]
"""Who answers, and the answer to be given."""


class Screen(Protocol):
    """Shows what the program and the voices say."""

    def say(self, sentence: str) -> None:
        """Show what the program has to say."""

    def show(self, question: str, asked: Asked) -> None:
        """Have all answers given, and show them."""


class Lines:
    """Plain text on standard output, each answer behind its name where there are two; the rest on standard error."""

    def say(self, sentence: str) -> None:
        """On standard error."""
        print(sentence, file=sys.stderr, flush=True)

    def show(self, question: str, asked: Asked) -> None:
        """Each answer as it comes, and a line's end."""
        for name, answering in asked:
            if len(asked) > 1:
                print(f"{name}: ", end="", flush=True)
            for piece in answering:
                print(printable(piece), end="", flush=True)
            print(flush=True)
            for sentence in notes(name, answering):
                self.say(sentence)


class JsonLines:
    """A JSON object a question on standard output; the rest on standard error."""

    def say(self, sentence: str) -> None:
        """On standard error."""
        print(sentence, file=sys.stderr, flush=True)

    def show(self, question: str, asked: Asked) -> None:
        """All answers to one question in a line."""
        answers: dict[str, Any] = {}
        for name, answering in asked:
            for _ in answering:
                pass
            given = answering.answer
            answers[name] = {
                "text": given.text, "tokens": len(given.tokens), "seconds": round(given.seconds, 3),
                "tokens_per_second": round(given.tokens_per_second, 2), "end": given.end, "left_out": given.left_out,
            }  # fmt: skip
        print(json.dumps({"question": question, "answers": answers}, ensure_ascii=False), flush=True)


class Terminal:
    """Two answers in two columns where there is room, else one below the other.

    Args:
        console: Where to write.
    """

    def __init__(self, console: Console):
        self._console = console

    def say(self, sentence: str) -> None:
        """Dimmed."""
        self._console.print(Text(sentence, style="dim"))

    def show(self, question: str, asked: Asked) -> None:
        """Each answer as it comes, and below it how fast it came."""
        if len(asked) > 1 and self._console.width >= WIDE:
            self._show_columns(asked)
        else:
            self._show_rows(asked)
        for name, answering in asked:
            for sentence in notes(name, answering):
                self.say(sentence)

    def _show_rows(self, asked: Asked) -> None:
        for name, answering in asked:
            if len(asked) > 1:
                self._console.print(Text(name, style="bold"))
            for piece in answering:
                self._console.print(Text(printable(piece)), end="", soft_wrap=True)
            self._console.print()
            self.say(answering.answer.note())

    def _show_columns(self, asked: Asked) -> None:
        texts = ["" for _ in asked]
        # Drawn away at its end and printed anew: what is longer than the screen can be drawn but not scrolled back to.
        with Live(console=self._console, auto_refresh=False, transient=True) as live:
            drawn = 0.0
            for number, (_, answering) in enumerate(asked):
                for piece in answering:
                    texts[number] += printable(piece)
                    if time.monotonic() - drawn >= REDRAWN:
                        live.update(Tail(columns(asked, texts)), refresh=True)
                        drawn = time.monotonic()
        self._console.print(columns(asked, texts))


def columns(asked: Asked, texts: Sequence[str]) -> Table:
    """Answers beside each other: names, texts, and of those that are done how fast they came."""
    table = Table.grid(padding=(0, 3), expand=True)
    for _ in asked:
        table.add_column(ratio=1, overflow="fold")
    table.add_row(*(Text(name, style="bold") for name, _ in asked))
    table.add_row(*(Text(text) for text in texts))
    table.add_row(*(Text(each.answer.note() if each.is_done else "", style="dim") for _, each in asked))
    return table


class Tail:
    """The last lines of something that may be longer than the screen."""

    def __init__(self, inner: Table):
        self._inner = inner

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """As many lines as the screen has, but for the one with the cursor."""
        lines = console.render_lines(self._inner, options.update(height=None), pad=False)
        for line in lines[-max(1, console.height - 1) :]:
            yield from line
            yield Segment.line()


def notes(name: str, answering: Answering) -> Iterator[str]:
    """What has to be said of an answer."""
    left_out = answering.answer.left_out
    if left_out:
        verb = "was" if left_out == 1 else "were"
        yield f"{name} was not shown everything: the oldest {many(left_out, 'turn')} {verb} left out, for room"


def printable(text: str) -> str:
    """The text without what would command a terminal: a model may write any character."""
    return "".join(sign for sign in text if sign in "\n\t" or not (ord(sign) < 32 or 127 <= ord(sign) < 160))
