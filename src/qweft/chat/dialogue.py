"""The conversation so far, and the commands of the chat."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from qweft.data.conversation import Message
from qweft.errors import QweftError
from qweft.files import write_bytes
from qweft.text import json_text, many, plain


@dataclass(frozen=True)
class Turn:
    """One question and its answers.

    Args:
        question: The question.
        answers: Answer of each chat model, in their order.
    """

    question: str
    answers: tuple[str, ...]


@dataclass(frozen=True)
class Dialogue:
    """A conversation with all chat models at once, each of which sees only its own answers.

    Args:
        system: The system message; `None` without one.
        turns: Questions and answers.
        asked: Number of questions, including those before a reset, so that no two use the same random numbers.
        saved: What `/save` wrote last, which it may replace.
    """

    system: str | None = None
    turns: tuple[Turn, ...] = ()
    asked: int = 0
    saved: bytes = b""

    def messages(self, number: int, left_out: int = 0) -> list[Message]:
        """Return the conversation as one chat model sees it."""
        found = [] if self.system is None else [Message("system", self.system)]
        for turn in self.turns[left_out:]:
            found += [Message("user", turn.question), Message("assistant", turn.answers[number])]
        return found

    def and_then(self, question: str, answers: Sequence[str]) -> "Dialogue":
        """Return the conversation with one more turn; a turn with only empty answers is counted but not added."""
        kept = (Turn(question, tuple(answers)),) if any(answers) else ()
        return replace(self, turns=self.turns + kept, asked=self.asked + 1)

    def from_the_start(self) -> "Dialogue":
        """Return the conversation without its turns, with the same system message."""
        return replace(self, turns=())

    def with_system(self, system: str | None) -> "Dialogue":
        """Return a new conversation with another system message, without which the answers so far were given."""
        return self if system == self.system else replace(self, system=system, turns=())

    def as_rows(self, names: Sequence[str]) -> str:
        """Return JSON lines with a row of messages for each chat model, as `qweft data check` and training read.

        Turns that a model did not answer, as after a stop, are left out of its row; training takes no empty answer. A
        chain of thought that the prompt opened is opened here, as in rows of data.
        """
        rows = []
        for number, name in enumerate(names):
            answered = replace(self, turns=tuple(turn for turn in self.turns if turn.answers[number].strip()))
            said = [{"role": each.role, "content": _opened(each)} for each in answered.messages(number)]
            if not answered.turns:
                continue
            rows.append(json_text({"messages": said, "answered_by": name}) + "\n")
        return "".join(rows)


def _opened(message: Message) -> str:
    """Return a message's content, with the opening of a thought that it closes alone."""
    is_open = message.role == "assistant" and "</think>" in message.content and "<think>" not in message.content
    return f"<think>\n{message.content}" if is_open else message.content


COMMANDS = {
    "/reset": "forget what was said; the system message stays",
    "/system TEXT": "begin anew with a system message; without TEXT take it away",
    "/save FILE": "write the conversation to FILE, which ends in .jsonl: a row for each voice",
    "/help": "show this",
    "/quit": "end, as Ctrl-D does",
}

HELP = "\n".join(f"{name:<14}{text}" for name, text in COMMANDS.items()) + (
    "\nCtrl-C ends the answers that are being given.\n"
    "A line that begins with a space is a question, whatever comes after it."
)


def is_command(line: str) -> bool:
    """Whether a line is a command."""
    return line.startswith("/")


def obey(line: str, dialogue: Dialogue, names: list[str]) -> tuple[Dialogue | None, str]:
    """Execute a command; return the new conversation, or `None` to end the chat, and the text to display."""
    name, _, rest = line.strip().partition(" ")
    rest = rest.strip()
    if name in ("/quit", "/exit"):
        return None, ""
    if name == "/help":
        return dialogue, HELP
    if name == "/reset":
        return dialogue.from_the_start(), f"{many(len(dialogue.turns), 'turn')} forgotten"
    if name == "/system":
        anew, message = dialogue.with_system(rest or None), f"system message: {rest}" if rest else "no system message"
        forgotten = len(dialogue.turns) - len(anew.turns)
        return anew, message + (
            f"; a new conversation begins, {many(forgotten, 'turn')} forgotten" if forgotten else ""
        )
    if name == "/save":
        return _save(rest, dialogue, names), f"saved: {rest}, {many(len(dialogue.turns), 'turn')}"
    known = ", ".join(command.partition(" ")[0] for command in COMMANDS)
    raise QweftError(f"there is no {name}; there are {known}; begin a question that starts with / with a space")


def _save(file: str, dialogue: Dialogue, names: list[str]) -> Dialogue:
    if not file.endswith(".jsonl"):
        raise QweftError(f"/save: expected the name of a file that ends in .jsonl after it, got {file or 'nothing'}")
    if not dialogue.turns:
        raise QweftError("/save: nothing was said yet")
    rows = dialogue.as_rows(names).encode()
    try:
        path = Path(file).expanduser()
        if path.exists() and not (path.is_file() and path.read_bytes() == dialogue.saved):
            raise QweftError(f"/save {plain(file)}: it exists, and this chat did not write it; name another file")
        write_bytes(path, rows, path.stat().st_mode & 0o777 if path.exists() else 0o666)
    except QweftError:
        raise
    except (OSError, ValueError, RuntimeError) as error:  # a NUL in the name; the user in "~user" does not exist
        reason = getattr(error, "strerror", None) or error
        raise QweftError(f"/save {plain(file)}: it cannot be written ({reason}); name another file") from error
    return replace(dialogue, saved=rows)
