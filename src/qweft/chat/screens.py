"""Output of the chat: plain lines for a pipe, JSON lines for a program, and a terminal."""

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
from qweft.text import json_text, many, plain

WIDE = 80
"""Minimum width of the terminal in characters for answers in two columns."""
REDRAWN = 0.08
"""Minimum time between two redraws of the columns, in seconds."""

Asked = Sequence[tuple[str, Answering]]
"""Names of the chat models, each with its pending answer."""


class Screen(Protocol):
    """Shows answers and messages of the program."""

    def say(self, sentence: str) -> None:
        """Show a message of the program."""

    def show(self, question: str, asked: Asked) -> None:
        """Generate all answers and shows them."""


class Lines:
    """Prints questions and answers as plain text to standard output, and messages to standard error.

    Answers follow the names of their models if there are two.
    """

    def say(self, sentence: str) -> None:
        """Print a message to standard error."""
        print(sentence, file=sys.stderr, flush=True)

    def show(self, question: str, asked: Asked) -> None:
        """Print the question after "> ", and streams each answer, followed by a line end."""
        print(f"> {plain(question)}", flush=True)
        for name, answering in asked:
            if len(asked) > 1:
                print(plain(f"{name}: "), end="", flush=True)
            for piece in answering:
                print(plain(piece), end="", flush=True)
            print(flush=True)
            for sentence in notes(name, answering):
                self.say(sentence)


class JsonLines(Lines):
    """Prints one JSON object per question to standard output, and messages to standard error."""

    def show(self, question: str, asked: Asked) -> None:
        """Print all answers to one question in one line."""
        answers: dict[str, Any] = {}
        for name, answering in asked:
            for _ in answering:
                pass
            given = answering.answer
            answers[name] = {
                "text": given.text, "tokens": len(given.tokens), "seconds": round(given.seconds, 3),
                "tokens_per_second": round(given.tokens_per_second, 2), "end": given.end, "left_out": given.left_out,
            }  # fmt: skip
        print(json_text({"question": question, "answers": answers}), flush=True)


class Terminal:
    """Shows two answers in two columns in a wide terminal, otherwise one below the other."""

    def __init__(self, console: Console):
        self._console = console

    def say(self, sentence: str) -> None:
        """Print a message in dim text."""
        self._console.print(Text(sentence, style="dim"))

    def show(self, question: str, asked: Asked) -> None:
        """Stream each answer, followed by its length and speed."""
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
                self._console.print(Text(piece), end="", soft_wrap=True)
            self._console.print()
            self.say(answering.answer.note())

    def _show_columns(self, asked: Asked) -> None:
        texts = ["" for _ in asked]
        # transient, and printed again at the end: a live display cannot scroll back to text longer than the screen
        with Live(console=self._console, auto_refresh=False, transient=True) as live:
            drawn = 0.0
            for number, (_, answering) in enumerate(asked):
                for piece in answering:
                    texts[number] += piece
                    if time.monotonic() - drawn >= REDRAWN:
                        live.update(Tail(columns(asked, texts)), refresh=True)
                        drawn = time.monotonic()
        self._console.print(columns(asked, texts))


def columns(asked: Asked, texts: Sequence[str]) -> Table:
    """Return the answers side by side: names, texts, and length and speed of complete answers."""
    table = Table.grid(padding=(0, 3), expand=True)
    for _ in asked:
        table.add_column(ratio=1, overflow="fold")
    table.add_row(*(Text(name, style="bold") for name, _ in asked))
    table.add_row(*(Text(text) for text in texts))
    table.add_row(*(Text(each.answer.note() if each.is_done else "", style="dim") for _, each in asked))
    return table


class Tail:
    """Renders the last lines of a table that may be longer than the screen."""

    def __init__(self, inner: Table):
        self._inner = inner

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the last lines that fit the screen, without the line of the cursor."""
        lines = console.render_lines(self._inner, options.update(height=None), pad=False)
        for line in lines[-max(1, console.height - 1) :]:
            yield from line
            yield Segment.line()


def notes(name: str, answering: Answering) -> Iterator[str]:
    """Yield a warning if turns were left out of the prompt."""
    left_out = answering.answer.left_out
    if left_out:
        verb = "was" if left_out == 1 else "were"
        yield f"{name} was not shown everything: the oldest {many(left_out, 'turn')} {verb} left out, for room"
