"""The loop of the chat: reads questions and commands, and shows answers."""

import signal
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

from qweft.chat.answering import Answering
from qweft.chat.config import ChatConfig
from qweft.chat.dialogue import Dialogue, is_command, obey
from qweft.chat.models import ChatModels, open_chat_models
from qweft.chat.screens import JsonLines, Lines, Screen, Terminal
from qweft.errors import QweftError, StoppedError, saying_when_stopped
from qweft.output import Console

UNSAVED = "the conversation is gone; /save FILE.jsonl keeps one"


def chat(adapter: Path, config: ChatConfig, overrides: dict[str, Any], as_json: bool = False) -> None:
    """Chat with an adapter in a terminal until Ctrl-D, or read one question per line of standard input."""
    config.check()
    chat_models = open_chat_models(adapter, config, overrides)
    if as_json:
        converse(chat_models, config, JsonLines(), piped(), at_terminal=False)
    elif not (sys.stdin.isatty() and sys.stdout.isatty()):
        converse(chat_models, config, Lines(), piped(), at_terminal=False)
    else:
        screen = Terminal(Console(highlight=False))
        screen.say(f"{' beside '.join(chat_models.names)}; {chat_models.origin}; /help says what else can be typed")
        converse(chat_models, config, screen, typed(), at_terminal=True)


def converse(
    chat_models: ChatModels, config: ChatConfig, screen: Screen, lines: Iterable[str], at_terminal: bool
) -> Dialogue:
    """Answer questions and execute commands line by line; return the conversation at its end.

    At a terminal errors are shown and do not end the chat, and Ctrl-C ends only the current answers.
    """
    dialogue = Dialogue(config.system)
    with saying_when_stopped(lambda: UNSAVED if dialogue.turns else "nothing was said yet"):
        for line in lines:
            if not line.strip():
                continue
            try:
                if is_command(line):
                    after, said = obey(line, dialogue, chat_models.names)
                    if said:
                        screen.say(said)
                    if after is None:
                        break
                    dialogue = after
                else:
                    dialogue = _answered(chat_models, config, screen, dialogue, line.strip(), at_terminal)
            except QweftError as error:
                if not at_terminal:
                    raise
                screen.say(f"{error}")
    return dialogue


def _answered(
    chat_models: ChatModels, config: ChatConfig, screen: Screen, dialogue: Dialogue, question: str, at_terminal: bool
) -> Dialogue:
    asked = chat_models.ask(dialogue, question, config)
    with stoppable(asked) if at_terminal else nullcontext():
        screen.show(question, list(zip(chat_models.names, asked, strict=True)))
    return dialogue.and_then(question, [each.answer.text for each in asked])


@contextmanager
def stoppable(asked: Sequence[Answering]) -> Iterator[None]:
    """Make Ctrl-C end the current answers; pressed again before they end, it raises `KeyboardInterrupt`."""

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
