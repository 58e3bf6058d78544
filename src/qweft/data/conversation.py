"""Conversations: messages that end with an answer, and the groups that a split keeps together."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

ROLES = ("system", "user", "assistant", "tool")
TEXT = "text"
"""Role of the only message of a plain text, which has no prompt and is learned as a whole."""
TOOL_CALL = "<tool_call>\n{}\n</tool_call>"
"""Plain form of a tool call, as in Hermes and Qwen."""


class Message(NamedTuple):
    """One turn; `more` is what else a chat template reads, as JSON: `tool_calls`, `name`, `tool_call_id`."""

    role: str
    content: str
    more: str = ""

    @property
    def turn(self) -> dict[str, Any]:
        """The turn as chat templates take it."""
        more = json.loads(self.more) if self.more else {}
        return {"role": self.role, "content": self.content, **more}

    @property
    def calls(self) -> list[dict[str, Any]]:
        """Name and arguments of each tool call."""
        return [call["function"] for call in self.turn.get("tool_calls", [])]

    @property
    def full_text(self) -> str:
        """The content, followed by the tool calls in plain form."""
        if not self.more:
            return self.content
        calls = [TOOL_CALL.format(json.dumps(call, ensure_ascii=False)) for call in self.calls]
        paragraphs = [self.content, *calls] if self.content else calls
        return "\n".join(paragraphs)


@dataclass(frozen=True)
class Conversation:
    """Messages that end with an answer, or one of role `TEXT`; a group stays in one part; `tools` is JSON."""

    messages: tuple[Message, ...]
    group: str
    tools: str = ""
    where: str = field(default="", compare=False)

    @property
    def is_text(self) -> bool:
        """Whether this is a plain text: no turns, no template, learned as a whole."""
        return self.messages[0].role == TEXT

    @property
    def has_tools(self) -> bool:
        """Whether there are tools or calls of tools, for which not every chat template has a place."""
        return bool(self.tools) or any(message.more for message in self.messages)

    @property
    def prompt(self) -> tuple[Message, ...]:
        """All messages before the last answer: the prompt for generation."""
        return self.messages[:-1]

    @property
    def answer(self) -> str:
        """The last answer, tool calls included; of a plain text all of it."""
        return self.messages[-1].full_text

    @property
    def characters(self) -> int:
        """Number of characters of all messages, plus one between each two."""
        return sum(len(message.full_text) + 1 for message in self.messages) - 1

    @property
    def prompt_hash(self) -> str:
        """The default group: a hash of the prompt, equal for equal prompts in two data sets."""
        return default_group(self.messages)


def normalise(text: str) -> str:
    """Return a text for comparisons that ignore case and white space."""
    return " ".join(text.casefold().split())


def default_group(messages: Sequence[Message]) -> str:
    """Return a hash of what is asked before the first answer, without system messages; of a plain text its own."""
    questions: list[str] = []
    for message in messages:
        if message.role == "assistant" and questions:  # one that comes before any question is a greeting
            break
        if message.role not in ("assistant", "system"):
            questions.append(normalise(message.content))
    texts = questions or [normalise(message.full_text) for message in messages]
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]
