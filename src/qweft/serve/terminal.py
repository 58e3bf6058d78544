"""`qweft chat`: plain lines for a pipe, JSON lines for a program, and a terminal."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console as RichConsole
from rich.console import ConsoleOptions, RenderResult
from rich.live import Live
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from qweft.errors import QweftError, StoppedError, saying_when_stopped
from qweft.models.config import ModelConfig
from qweft.output import Console
from qweft.serve.chat import Answer, Chat, Show
from qweft.serve.checks import BASE
from qweft.serve.config import ChatConfig
from qweft.serve.models import open_voices
from qweft.text import json_text, many, plain

WIDE = 80
"""Minimum width of the terminal in characters for answers in two columns."""
REDRAWN = 0.08
"""Minimum time between two redraws of the columns, in seconds."""
Ask = Callable[[str, Show], Answer]
"""Generates the answer of the model with a name."""


class Screen(Protocol):
    """Shows answers and messages of the program."""

    def say(self, sentence: str) -> None:
        """Show a message of the program."""

    def show(self, question: str, names: Sequence[str], ask: Ask) -> None:
        """Ask all models, and show their answers."""


class Lines:
    """Prints questions and answers as plain text to standard output, and messages to standard error."""

    def say(self, sentence: str) -> None:
        """Print a message to standard error."""
        print(sentence, file=sys.stderr, flush=True)

    def show(self, question: str, names: Sequence[str], ask: Ask) -> None:
        """Print the question after "> ", and stream each answer, after the model's name if there are two."""
        print(f"> {plain(question)}", flush=True)
        for name in names:
            if len(names) > 1:
                print(plain(f"{name}: "), end="", flush=True)
            answer = ask(name, lambda piece: print(plain(piece), end="", flush=True))
            print(flush=True)
            if note := left_out(name, answer):
                self.say(note)


class JsonLines(Lines):
    """Prints one JSON object per question to standard output, and messages to standard error."""

    def show(self, question: str, names: Sequence[str], ask: Ask) -> None:
        """Print all answers to one question in one line."""
        answers: dict[str, Any] = {}
        for name in names:
            answer = ask(name, lambda _: None)
            speed = round(answer.tokens_per_second, 2)
            answers[name] = {**vars(answer), "seconds": round(answer.seconds, 3), "tokens_per_second": speed}
        print(json_text({"question": question, "answers": answers}), flush=True)


class Terminal:
    """Shows two answers in two columns in a wide terminal, otherwise one below the other."""

    def __init__(self, console: RichConsole) -> None:
        self._console = console

    def say(self, sentence: str) -> None:
        """Print a message in dim text."""
        self._console.print(Text(sentence, style="dim"))

    def show(self, question: str, names: Sequence[str], ask: Ask) -> None:
        """Stream each answer, followed by its length and speed."""
        is_wide = len(names) > 1 and self._console.width >= WIDE
        answers = self._columns(names, ask) if is_wide else self._rows(names, ask)
        for name, answer in zip(names, answers, strict=True):
            if note := left_out(name, answer):
                self.say(note)

    def _rows(self, names: Sequence[str], ask: Ask) -> list[Answer]:
        answers = []
        for name in names:
            if len(names) > 1:
                self._console.print(Text(name, style="bold"))
            answers.append(ask(name, lambda piece: self._console.print(Text(piece), end="", soft_wrap=True)))
            self._console.print()
            self.say(answers[-1].note())
        return answers

    def _columns(self, names: Sequence[str], ask: Ask) -> list[Answer]:
        texts, notes, answers, drawn = dict.fromkeys(names, ""), dict.fromkeys(names, ""), [], 0.0

        def show(piece: str) -> None:
            nonlocal drawn
            texts[name] += piece
            if time.monotonic() - drawn >= REDRAWN:
                live.update(Tail(columns(texts, notes)), refresh=True)
                drawn = time.monotonic()

        # transient, and printed again at the end: a live display cannot scroll back to text longer than the screen
        with Live(console=self._console, auto_refresh=False, transient=True) as live:
            for name in names:
                answers.append(ask(name, show))
                notes[name] = answers[-1].note()
        self._console.print(columns(texts, notes))
        return answers


def columns(texts: Mapping[str, str], notes: Mapping[str, str]) -> Table:
    """Return the answers side by side: names, texts, and length and speed of complete answers."""
    table = Table.grid(padding=(0, 3), expand=True)
    for _ in texts:
        table.add_column(ratio=1, overflow="fold")
    table.add_row(*(Text(name, style="bold") for name in texts))
    table.add_row(*map(Text, texts.values()))
    table.add_row(*(Text(note, style="dim") for note in notes.values()))
    return table


class Tail:
    """Renders the last lines of a table that may be longer than the screen."""

    def __init__(self, inner: Table) -> None:
        self._inner = inner

    def __rich_console__(self, console: RichConsole, options: ConsoleOptions) -> RenderResult:
        """Yield the last lines that fit the screen, without the line of the cursor."""
        lines = console.render_lines(self._inner, options.update(height=None), pad=False)
        for line in lines[-max(1, console.height - 1) :]:
            yield from line
            yield Segment.line()


def left_out(name: str, answer: Answer) -> str:
    """Return a warning if turns were left out of the prompt, else an empty text."""
    if not answer.left_out:
        return ""
    verb = "was" if answer.left_out == 1 else "were"
    return f"{name} was not shown everything: the oldest {many(answer.left_out, 'turn')} {verb} left out, for room"


def chat(model: ModelConfig, folders: Mapping[str, Path], config: ChatConfig, as_json: bool = False) -> None:
    """Chat in a terminal until Ctrl-D, or read one question per line of standard input."""
    talk = Chat(open_voices(model, folders, config.beside == BASE), config)
    if as_json or not (sys.stdin.isatty() and sys.stdout.isatty()):
        converse(talk, JsonLines() if as_json else Lines(), piped())
        return
    screen = Terminal(Console(highlight=False))
    screen.say(f"{' beside '.join(talk.names)}; {talk.voices.origin}; /help says what else can be typed")
    converse(talk, screen, typed(), at_terminal=True)


def converse(talk: Chat, screen: Screen, lines: Iterable[str], at_terminal: bool = False) -> None:
    """Answer questions and execute commands line by line.

    At a terminal errors are shown and do not end the chat, and Ctrl-C ends only the current answers.
    """
    unsaved = "the conversation is gone; /save FILE.jsonl keeps one"
    with saying_when_stopped(lambda: unsaved if talk.turns else "nothing was said yet"):
        for line in filter(str.strip, lines):
            try:
                if line.startswith("/"):
                    message = talk.obey(line)
                    if message is None:
                        return
                    screen.say(message)
                else:
                    _ask(talk, screen, line.strip(), at_terminal)
            except QweftError as error:
                if not at_terminal:
                    raise
                screen.say(str(error))


def _ask(talk: Chat, screen: Screen, question: str, may_stop: bool) -> None:
    answers: list[Answer] = []

    def ask(name: str, show: Show) -> Answer:
        is_stopped = bool(answers) and answers[-1].end == "stopped"
        answers.append(Answer() if is_stopped else talk.answer(name, question, show, may_stop))
        return answers[-1]

    screen.show(question, talk.names, ask)
    talk.take(question, answers)


def typed() -> Iterator[str]:
    """Yield lines typed in a terminal; Ctrl-C discards a line, Ctrl-D ends the input."""
    with suppress(ImportError):
        import readline  # noqa: F401  # its import adds line editing and history to input()
    while True:
        try:
            line = input("> ")
        except EOFError:
            print()
            return
        except StoppedError:
            raise
        except KeyboardInterrupt:
            print()
            continue
        yield line.encode(errors="replace").decode()  # input() returns invalid bytes as surrogates


def piped() -> Iterator[str]:
    """Yield the lines of standard input."""
    try:
        for number, line in enumerate(sys.stdin.buffer):
            # some programs begin a text with a byte order mark
            yield line.decode("utf-8" if number else "utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise QweftError(
            f"standard input: a line is not UTF-8 ({error}); convert it, for instance with iconv"
        ) from error
