"""What was said so far, by all who answer."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from qweft.data.conversation import Message


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
