"""Questions in, answers out, until the questions end."""

import signal
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

from rich.console import Console

from qweft.chat.answering import Answering
from qweft.chat.chat_models import ChatModels, open_chat_models
from qweft.chat.config import ChatConfig
from qweft.chat.dialogue import Dialogue, is_command, obey
from qweft.chat.screens import JsonLines, Lines, Screen, Terminal
from qweft.errors import QweftError


def chat(adapter: Path, config: ChatConfig, overrides: dict[str, Any], as_json: bool = False) -> None:
    """Talk with an adapter: at a terminal until Ctrl-D, else a line of standard input a question.

    Args:
        adapter: Its folder.
        config: Who answers, and how.
        overrides: Keys of the section model that differ from the run that trained the adapter.
        as_json: A JSON object a question, on standard output.

    Raises:
        QweftError: If the voices cannot be opened; without a terminal also where one of the lines is wrong.
    """
    config.check()
    voices = open_chat_models(adapter, config, overrides)
    if as_json:
        converse(voices, config, JsonLines(), piped(), at_terminal=False)
    elif not (sys.stdin.isatty() and sys.stdout.isatty()):
        converse(voices, config, Lines(), piped(), at_terminal=False)
    else:
        screen = Terminal(Console(highlight=False))
        screen.say(f"{' beside '.join(voices.names)}; {voices.origin}; /help says what else can be typed")
        converse(voices, config, screen, typed(), at_terminal=True)


def converse(
    voices: ChatModels, config: ChatConfig, screen: Screen, lines: Iterable[str], at_terminal: bool
) -> Dialogue:
    """Answer line after line.

    Args:
        voices: Those that answer.
        config: How.
        screen: Shows it.
        lines: Questions and commands.
        at_terminal: Someone types: a wrong line is told and the next one taken, and Ctrl-C ends the answers; a program
            is to be told by an error, and to be ended.

    Raises:
        QweftError: If a line is wrong.
    """
    dialogue = Dialogue(config.system)
    for line in lines:
        if not line.strip():
            continue
        try:
            if is_command(line):
                after, said = obey(line, dialogue, voices.names)
                if said:
                    screen.say(said)
                if after is None:
                    break
                dialogue = after
            else:
                dialogue = _answered(voices, config, screen, dialogue, line.strip(), at_terminal)
        except QweftError as error:
            if not at_terminal:
                raise
            screen.say(f"{error}")
    return dialogue


def _answered(
    voices: ChatModels, config: ChatConfig, screen: Screen, dialogue: Dialogue, question: str, at_terminal: bool
) -> Dialogue:
    asked = voices.ask(dialogue, question, config)
    with stoppable(asked) if at_terminal else nullcontext():
        screen.show(question, list(zip(voices.names, asked, strict=True)))
    return dialogue.and_then(question, [each.answer.text for each in asked])


@contextmanager
def stoppable(asked: Sequence[Answering]) -> Iterator[None]:
    """Inside, Ctrl-C ends the answers that are being given; again before they have ended, it interrupts as ever."""

    def stop(*_: Any) -> None:
        answering = [each for each in asked if not each.is_done]
        if all(each.is_stopped for each in answering):
            raise KeyboardInterrupt
        for each in answering:
            each.stop()

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def typed() -> Iterator[str]:
    """What is typed at a terminal, line by line; Ctrl-C drops a line, Ctrl-D ends."""
    with suppress(ImportError):
        import readline  # noqa: F401  # that it is there lets input() edit lines and recall them
    while True:
        try:
            line = input("> ")
        except EOFError:
            print()
            return
        except KeyboardInterrupt:
            print()
            continue
        yield line.encode(errors="replace").decode()  # bytes that are no character stand in it as half ones


def piped() -> Iterator[str]:
    """The lines of standard input.

    Raises:
        QweftError: If it is not UTF-8.
    """
    try:
        for line in sys.stdin.buffer:
            yield line.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise QweftError(
            f"standard input: a line is not UTF-8 ({error}); convert it, for instance with iconv"
        ) from error
