"""What was said so far, and the commands that can be typed besides questions."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from qweft.data.conversation import Message
from qweft.errors import QweftError
from qweft.files import write_bytes
from qweft.text import many


@dataclass(frozen=True)
class Turn:
    """One question and what each voice answered.

    Args:
        question: The question.
        answers: An answer for each voice, in their order.
    """

    question: str
    answers: tuple[str, ...]


@dataclass(frozen=True)
class Dialogue:
    """A conversation with all voices at once; each of them remembers its own answers and not the others'.

    Args:
        system: The system message, if any.
        turns: What was said.
        asked: Questions since the start, those before a reset too, so that none draws the same numbers twice.
    """

    system: str | None = None
    turns: tuple[Turn, ...] = ()
    asked: int = 0

    def messages(self, voice: int, left_out: int = 0) -> list[Message]:
        """The conversation as one voice knows it.

        Args:
            voice: Its number.
            left_out: So many of the oldest turns are left out; the system message stays.
        """
        found = [] if self.system is None else [Message("system", self.system)]
        for turn in self.turns[left_out:]:
            found += [Message("user", turn.question), Message("assistant", turn.answers[voice])]
        return found

    def and_then(self, question: str, answers: Sequence[str]) -> "Dialogue":
        """The conversation with one more turn; one that nobody answered with a word is not kept."""
        kept = (Turn(question, tuple(answers)),) if any(answers) else ()
        return replace(self, turns=self.turns + kept, asked=self.asked + 1)

    def from_the_start(self) -> "Dialogue":
        """The same system message, and nothing said."""
        return replace(self, turns=())

    def with_system(self, system: str | None) -> "Dialogue":
        """The same turns under another system message."""
        return replace(self, system=system)

    def as_rows(self, names: Sequence[str]) -> str:
        """A row of messages for each voice in JSON lines, which `qweft data check` and training read."""
        rows = []
        for voice, name in enumerate(names):
            said = [{"role": message.role, "content": message.content} for message in self.messages(voice)]
            rows.append(json.dumps({"messages": said, "answered_by": name}, ensure_ascii=False) + "\n")
        return "".join(rows)


COMMANDS = {
    "/reset": "forget what was said; the system message stays",
    "/system TEXT": "set the system message; without TEXT take it away",
    "/save FILE": "write the conversation to FILE, which ends in .jsonl: a row for each voice",
    "/help": "show this",
    "/quit": "end, as Ctrl-D does",
}

HELP = "\n".join(f"{name:<14}{text}" for name, text in COMMANDS.items()) + (
    "\nCtrl-C ends the answers that are being given.\n"
    "A line that begins with a space is a question, whatever comes after it."
)


def is_command(line: str) -> bool:
    """Whether a line is a command and no question."""
    return line.startswith("/")


def obey(line: str, dialogue: Dialogue, names: list[str]) -> tuple[Dialogue | None, str]:
    """Do what a command says.

    Args:
        line: The line.
        dialogue: The conversation so far.
        names: What the voices are called.

    Returns:
        The conversation after it, none where it ends, and what there is to say.

    Raises:
        QweftError: If there is no such command, or it lacks what it needs.
    """
    name, _, rest = line.strip().partition(" ")
    rest = rest.strip()
    if name in ("/quit", "/exit"):
        return None, ""
    if name == "/help":
        return dialogue, HELP
    if name == "/reset":
        return dialogue.from_the_start(), f"{many(len(dialogue.turns), 'turn')} forgotten"
    if name == "/system":
        return dialogue.with_system(rest or None), f"system message: {rest}" if rest else "no system message"
    if name == "/save":
        return dialogue, _save(rest, dialogue, names)
    known = ", ".join(command.partition(" ")[0] for command in COMMANDS)
    raise QweftError(f"there is no {name}; there are {known}; begin a question that starts with / with a space")


def _save(file: str, dialogue: Dialogue, names: list[str]) -> str:
    if not file.endswith(".jsonl"):
        raise QweftError(f"/save: expected the name of a file that ends in .jsonl after it, got {file or 'nothing'}")
    if not dialogue.turns:
        raise QweftError("/save: nothing was said yet")
    try:
        write_bytes(Path(file).expanduser(), dialogue.as_rows(names).encode())
    except OSError as error:
        raise QweftError(f"/save {file}: it cannot be written ({error.strerror}); name another file") from error
    return f"saved: {file}, {many(len(dialogue.turns), 'turn')}"
