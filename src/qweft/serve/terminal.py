"""`qweft chat`: at a terminal, plain lines through a pipe, and JSON lines for a program."""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from rich.text import Text

from qweft.errors import QweftError, StoppedError, saying_when_stopped
from qweft.models.config import ModelConfig
from qweft.output import Console
from qweft.serve.chat import Answer, Chat, Show
from qweft.serve.checks import BASE
from qweft.serve.config import ChatConfig
from qweft.serve.models import open_voices
from qweft.text import json_text, many, plain

Ask = Callable[[str, Show], Answer]
"""Generates the answer of the model with a name."""


class Lines:
    """Prints questions and answers as plain text to standard output, and messages to standard error."""

    def say(self, sentence: str) -> None:
        """Print a message of the program."""
        print(sentence, file=sys.stderr, flush=True)

    def show(self, question: str, names: Sequence[str], ask: Ask) -> None:
        """Print the question after "> ", and stream each answer, after the model's name if there are two."""
        print(f"> {plain(question)}", flush=True)
        self.stream(names, ask)

    def stream(self, names: Sequence[str], ask: Ask) -> None:
        """Print the answers of all models."""
        for name in names:
            if len(names) > 1:
                print(plain(f"{name}: "), end="", flush=True)
            answer = ask(name, lambda piece: print(plain(piece), end="", flush=True))
            print(flush=True)
            self.end(name, answer)

    def end(self, name: str, answer: Answer) -> None:
        """Say what is to be said of an answer: that it was not shown everything."""
        if answer.left_out:
            verb = "was" if answer.left_out == 1 else "were"
            turns = many(answer.left_out, "turn")
            self.say(f"{name} was not shown everything: the oldest {turns} {verb} left out, for room")


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


class Terminal(Lines):
    """Prints answers, their length and speed, and dim messages."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)

    def say(self, sentence: str) -> None:
        """Print a message in dim text."""
        self._console.print(Text(sentence, style="dim"))

    def show(self, question: str, names: Sequence[str], ask: Ask) -> None:
        """Stream each answer."""
        self.stream(names, ask)

    def end(self, name: str, answer: Answer) -> None:
        """Say the length and speed of an answer, too."""
        self.say(answer.note())
        super().end(name, answer)


def chat(model: ModelConfig, folders: Mapping[str, Path], config: ChatConfig, as_json: bool = False) -> None:
    """Chat in a terminal until Ctrl-D, or read one question per line of standard input."""
    talk = Chat(open_voices(model, folders, config.beside == BASE), config)
    if as_json or not (sys.stdin.isatty() and sys.stdout.isatty()):
        converse(talk, JsonLines() if as_json else Lines(), piped())
        return
    screen = Terminal()
    screen.say(f"{' beside '.join(talk.names)}; {talk.voices.origin}; /help says what else can be typed")
    converse(talk, screen, typed(), at_terminal=True)


def converse(talk: Chat, screen: Lines, lines: Iterable[str], at_terminal: bool = False) -> None:
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


def _ask(talk: Chat, screen: Lines, question: str, may_stop: bool) -> None:
    answers: list[Answer] = []

    def ask(name: str, show: Show) -> Answer:
        is_stopped = bool(answers) and answers[-1].end == "stopped"
        answers.append(Answer() if is_stopped else talk.answer(name, question, show, may_stop))
        return answers[-1]

    try:
        screen.show(question, talk.names, ask)
    except KeyboardInterrupt as stop:  # before an answer begins, or after it
        if not may_stop or isinstance(stop, StoppedError):
            raise
        screen.say("stopped")
    talk.take(question, [*answers, *[Answer()] * (len(talk.names) - len(answers))])


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
