"""A conversation: what every format of data becomes."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

ROLES = ("system", "user", "assistant", "tool")
TEXT = "text"
"""Role of the one message of a plain text, which nobody asked for and all of which is learned."""


@dataclass(frozen=True)
class Message:
    """One turn.

    Args:
        role: "system", "user", "assistant" or "tool"; `TEXT` for a plain text.
        content: Its text.
    """

    role: str
    content: str


@dataclass(frozen=True)
class Conversation:
    """Messages that end with an answer, or a plain text.

    Args:
        messages: At least one of role "assistant", and that is the last; or one of role `TEXT`.
        group: Rows of one group stay on one side of a split.
    """

    messages: tuple[Message, ...]
    group: str

    @property
    def is_text(self) -> bool:
        """Whether it is a plain text: no turns, no template, all of it learned."""
        return self.messages[0].role == TEXT

    @property
    def prompt(self) -> tuple[Message, ...]:
        """All messages before the last answer: what a model is shown when it is asked to answer."""
        return self.messages[:-1]

    @property
    def answer(self) -> str:
        """The last answer."""
        return self.messages[-1].content

    @property
    def characters(self) -> int:
        """Those of all messages, and one between each two."""
        return sum(len(message.content) + 1 for message in self.messages) - 1

    @property
    def asked(self) -> str:
        """The group that it would have by its prompt alone: equal where two data sets ask the same."""
        return text_group(self.messages[0]) if self.is_text else prompt_group(self.messages)


def prompt_group(messages: Sequence[Message]) -> str:
    """Return the default group: a hash of what was said before the first answer, system message aside.

    Duplicates, the same question with several answers, and the prefixes of one dialogue that some data sets list as
    rows of their own share it. Case and white space do not count.
    """
    said: list[str] = []
    for message in messages:
        if message.role == "assistant":
            break
        if message.role != "system":
            said.append(" ".join(message.content.casefold().split()))
    return hashlib.sha256("\n".join(said).encode()).hexdigest()[:16]


def text_group(message: Message) -> str:
    """Return the default group of a plain text: a hash of it; case and white space do not count."""
    return hashlib.sha256(" ".join(message.content.casefold().split()).encode()).hexdigest()[:16]
