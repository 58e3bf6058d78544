"""Conversations: messages that end with an answer, and the groups that a split keeps together."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, NamedTuple

ROLES = ("system", "user", "assistant", "tool")
TEXT = "text"
"""Role of the only message of a plain text, which has no prompt and is learned as a whole."""
CALL = "<tool_call>\n{}\n</tool_call>"
"""Plain form of a tool call, as in Hermes and Qwen."""


class Message(NamedTuple):
    """One turn; `more` is what else a chat template reads, as JSON: `tool_calls`, `name`, `tool_call_id`."""

    role: str
    content: str
    more: str = ""

    @property
    def turn(self) -> dict[str, Any]:
        """The turn as chat templates take it."""
        return {"role": self.role, "content": self.content, **(json.loads(self.more) if self.more else {})}

    @property
    def calls(self) -> list[dict[str, Any]]:
        """Name and arguments of each tool call."""
        return [call["function"] for call in self.turn.get("tool_calls", [])] if self.more else []

    @property
    def said(self) -> str:
        """The content, followed by the tool calls in plain form."""
        calls = [CALL.format(json.dumps(call, ensure_ascii=False)) for call in self.calls]
        return "\n".join([self.content, *calls] if self.content else calls)


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
        return bool(self.tools) or any(map(itemgetter(2), self.messages))  # `more`

    @property
    def prompt(self) -> tuple[Message, ...]:
        """All messages before the last answer: the prompt for generation."""
        return self.messages[:-1]

    @property
    def answer(self) -> str:
        """The last answer, tool calls included; of a plain text all of it."""
        return self.messages[-1].said

    @property
    def characters(self) -> int:
        """Number of characters of all messages, plus one between each two."""
        return sum(len(message.said) + 1 for message in self.messages) - 1

    @property
    def asked(self) -> str:
        """The default group: a hash of the prompt, equal for equal prompts in two data sets."""
        return default_group(self.messages)


def folded(text: str) -> str:
    """Return a text for comparisons that ignore case and white space."""
    return " ".join(text.casefold().split())


def default_group(messages: Sequence[Message]) -> str:
    """Return a hash of what is asked before the first answer, without system messages; of a plain text its own."""
    asked: list[str] = []
    for message in messages:
        if message.role == "assistant" and asked:  # one that comes before any question is a greeting
            break
        if message.role not in ("assistant", "system"):
            asked.append(folded(message.content))
    text = "\n".join(asked or [folded(message.said) for message in messages])
    return hashlib.sha256(text.encode()).hexdigest()[:16]
