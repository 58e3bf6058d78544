"""`qweft chat`: at a terminal, plain lines through a pipe, and JSON lines for a program."""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from rich.text import Text

from qweft.core.errors import QweftError, StoppedError, saying_when_stopped
from qweft.core.output import Console
from qweft.core.text import json_text, many, strip_controls
from qweft.models.config import ModelConfig
from qweft.serve.chat import Answer, Chat, Show
from qweft.serve.checks import BASE
from qweft.serve.config import ChatConfig
from qweft.serve.models import open_voices

Ask = Callable[[str, Show], Answer]
"""Generates the answer of the model with a name."""


class Screen:
    """Prints answers to standard output: as text, with notes at a terminal, or one JSON object for each question."""

    def __init__(self, at_terminal: bool = False, as_json: bool = False) -> None:
        self.at_terminal, self._as_json = at_terminal, as_json
        self._console = Console(highlight=False, stderr=not at_terminal)

    def say(self, sentence: str) -> None:
        """Print a message of the program: dim at a terminal, else on standard error."""
        if self.at_terminal:
            self._console.print(Text(sentence, style="dim"))
        else:
            print(sentence, file=sys.stderr, flush=True)

    def show(self, question: str, names: Sequence[str], ask: Ask) -> None:
        """Stream the answers of all models to a question, each after the model's name if there are two."""
        if self._as_json:
            answers = {name: ask(name, lambda _: None).to_json() for name in names}
            print(json_text({"question": question, "answers": answers}), flush=True)
            return
        if not self.at_terminal:
            print(f"> {strip_controls(question)}", flush=True)
        for name in names:
            if len(names) > 1:
                print(strip_controls(f"{name}: "), end="", flush=True)
            answer = ask(name, lambda piece: print(strip_controls(piece), end="", flush=True))
            print(flush=True)
            if self.at_terminal:
                self.say(answer.note())
            if answer.left_out:
                self.say(f"{name} was not shown the oldest {many(answer.left_out, 'turn')}, for room")


def chat(model: ModelConfig, folders: Mapping[str, Path], config: ChatConfig, as_json: bool = False) -> None:
    """Chat in a terminal until Ctrl-D, or read one question per line of standard input."""
    talk = Chat(open_voices(model, folders, config.beside == BASE), config)
    screen = Screen(not as_json and sys.stdin.isatty() and sys.stdout.isatty(), as_json)
    if screen.at_terminal:
        screen.say(f"{' beside '.join(talk.names)}; {talk.voices.origin}; /help says what else can be typed")
    converse(talk, screen, typed() if screen.at_terminal else piped())


def converse(talk: Chat, screen: Screen, lines: Iterable[str]) -> None:
    """Answer questions and execute commands line by line; at a terminal errors and Ctrl-C do not end the chat."""
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
                    _ask(talk, screen, line.strip())
            except QweftError as error:
                if not screen.at_terminal:
                    raise
                screen.say(str(error))


def _ask(talk: Chat, screen: Screen, question: str) -> None:
    answers: list[Answer] = []

    def ask(name: str, show: Show) -> Answer:
        is_stopped = bool(answers) and answers[-1].end == "stopped"
        answers.append(Answer() if is_stopped else talk.answer(name, question, show, screen.at_terminal))
        return answers[-1]

    try:
        screen.show(question, talk.names, ask)
    except KeyboardInterrupt as stop:  # before an answer begins, or after it
        if not screen.at_terminal or isinstance(stop, StoppedError):
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
