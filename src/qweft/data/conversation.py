"""Conversations, and their construction from rows of any known format."""

import hashlib
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from qweft.errors import QweftError

ROLES = ("system", "user", "assistant", "tool")
TEXT = "text"
"""Role of the only message of a plain text, which has no prompt and is learned as a whole."""


@dataclass(frozen=True)
class Message:
    """One turn of a conversation.

    Args:
        role: "system", "user", "assistant" or "tool"; `TEXT` for a plain text.
        content: Text of the turn.
    """

    role: str
    content: str


@dataclass(frozen=True)
class Conversation:
    """Messages that end with an answer, or a plain text.

    Args:
        messages: Turns, the last of role "assistant"; or a single message of role `TEXT`.
        group: Name of the group; a split puts rows of one group into the same part.
    """

    messages: tuple[Message, ...]
    group: str

    @property
    def is_text(self) -> bool:
        """Whether this is a plain text: no turns, no template, learned as a whole."""
        return self.messages[0].role == TEXT

    @property
    def prompt(self) -> tuple[Message, ...]:
        """All messages before the last answer: the prompt for generation."""
        return self.messages[:-1]

    @property
    def answer(self) -> str:
        """The last answer; of a plain text all of it."""
        return self.messages[-1].content

    @property
    def characters(self) -> int:
        """Number of characters of all messages, plus one between each two."""
        return sum(len(message.content) + 1 for message in self.messages) - 1

    @property
    def asked(self) -> str:
        """The default group: a hash of the prompt, equal for equal prompts in two data sets."""
        return text_group(self.messages[0]) if self.is_text else prompt_group(self.messages)


def prompt_group(messages: Sequence[Message]) -> str:
    """Return the default group: a hash of the messages before the first answer, without system messages.

    Duplicates share it, and so do several answers to one question. So do the prefixes of a dialogue, which some data
    sets list as separate rows. Case and white space are ignored.
    """
    said: list[str] = []
    for message in messages:
        if message.role == "assistant":
            break
        if message.role != "system":
            said.append(" ".join(message.content.casefold().split()))
    return hashlib.sha256("\n".join(said).encode()).hexdigest()[:16]


def text_group(message: Message) -> str:
    """Return the default group of a plain text: a hash of it, case and white space ignored."""
    return hashlib.sha256(" ".join(message.content.casefold().split()).encode()).hexdigest()[:16]


Row = Mapping[str, Any]

PLAIN = "text"
THOUGHT = "<think>\n{}\n</think>\n\n{}"
"""Format of a chain of thought and the answer after it, as in DeepSeek-R1."""
ROLE_NAMES = {
    "human": "user",
    "gpt": "assistant",
    "bot": "assistant",
    "model": "assistant",
    "client": "user",
    "observation": "tool",
}
HALF_A_CHARACTER = re.compile("[\ud800-\udfff]")
"""A lone UTF-16 surrogate, which Python's JSON parser lets through; no tokenizer accepts it."""


class Pair(NamedTuple):
    """A format with a column for the question and one for the answer; its name is "asks + answers"."""

    asks: str
    answers: str
    is_listed: bool = True
    """Whether the list of known formats has it."""


PAIRS = (
    Pair("question", "answer"),
    Pair("query", "response"),  # MetaMathQA
    # R1-Distill-SFT: prefer the checked chain of thought.
    Pair("problem", "reannotated_assistant_content", is_listed=False),
    Pair("problem", "solution"),
)
"""Formats of two columns; the first with both is used. A new one is an entry here."""


def to_conversation(row: Row, where: str) -> Conversation:
    """Turn a row into a conversation.

    The columns of a row tell its format. The first of `READERS` that fits is used, then the first of `PAIRS`. A row
    with `text` alone is a plain text.

    A chain of thought in a separate column or key (`reasoning_content`) is put in <think> tags before its answer. A
    `system` column becomes the first message, unless there is a system message already. Turns after the last answer
    are dropped, since nothing is learned from them.

    The group is the column `group` if present, else a hash of the prompt, or of a plain text. MetaMathQA rewrites
    each question in several ways. Its group is the hash of `original_question`, as of a data set with that question.

    Args:
        row: Values by column name.
        where: Place of the row for errors, such as "data.jsonl, row 3".

    Raises:
        QweftError: The format is not known, a turn is malformed, or there is no answer.
    """
    messages = _read(row, where)
    if messages and messages[0].role == TEXT:
        _check_characters(messages, row, where)
        return Conversation(tuple(messages), _named_group(row, "group", where) or text_group(messages[0]))
    while messages and messages[-1].role != "assistant":
        messages.pop()
    if not messages:
        raise _fault(row, where, "there is no answer to learn from")
    if not any(message.role in {"user", "tool", "system"} for message in messages[:1]):
        raise _fault(row, where, "the answer comes first, and nothing asks for it")
    first = next(place for place, message in enumerate(messages) if message.role == "assistant")
    if not any(message.content.strip() for message in messages[:first]):
        raise _fault(row, where, "what stands before the answer is empty, so nothing asks for it")
    system = "" if row.get("system") is None else _text(row, "system", where)
    if system.strip() and messages[0].role != "system":
        messages.insert(0, Message("system", system))
    _check_characters(messages, row, where)
    if named := _named_group(row, "group", where):
        return Conversation(tuple(messages), named)
    asked = _named_group(row, "original_question", where)
    return Conversation(tuple(messages), prompt_group([Message("user", asked)] if asked else messages))


def _named_group(row: Row, column: str, where: str) -> str:
    """Return the group in a column; empty if the column is missing or empty."""
    name = "" if row.get(column) in (None, "") else _text(row, column, where)
    _check_text(name, column, row, where)
    return name


def _check_characters(messages: Sequence[Message], row: Row, where: str) -> None:
    """Check for characters that come from reading a file in the wrong encoding."""
    for number, message in enumerate(messages, 1):
        what = "the text" if message.role == TEXT else f"message {number} ({message.role})"
        _check_text(message.content, what, row, where)


def _check_text(text: str, what: str, row: Row, where: str) -> None:
    if "\x00" in text:
        raise _fault(row, where, f"{what} holds a NUL character, as UTF-16 read as UTF-8 has; save it as UTF-8")
    if half := HALF_A_CHARACTER.search(text):
        raise _fault(row, where, f"{what} holds half a character, {half[0]!r}, which is no text; write it whole")


def _read(row: Row, where: str) -> list[Message]:
    for key, _, reader in READERS:
        if row.get(key) is not None:
            return reader(row, where)
    pairs = [pair for pair in PAIRS if row.get(pair.asks) is not None]
    for pair in pairs:
        if row.get(pair.answers) is not None:
            return [Message("user", _text(row, pair.asks, where)), *_answer(row, pair.answers, where)]
    if row.get("text") is not None:
        return _plain(row, where)
    if pairs:
        missing = " or ".join(dict.fromkeys(pair.answers for pair in pairs))
        raise _fault(row, where, f"there is a {pairs[0].asks} but no answer ({missing} is missing)")
    raise _fault(row, where, "the format is not known")


def _turns(turns: Any, row: Row, where: str) -> list[Message]:
    """Read a list of {"role", "content"} or {"from", "value"}; an empty answer is an error."""
    if not isinstance(turns, Sequence) or isinstance(turns, str):
        raise _fault(row, where, f"a list of messages was expected, not {type(turns).__name__}")
    messages: list[Message] = []
    for number, turn in enumerate(turns, 1):
        if not isinstance(turn, Mapping):
            raise _fault(row, where, f"message {number} is {type(turn).__name__}, not an object with role and content")
        said, content = turn.get("role", turn.get("from")), turn.get("content", turn.get("value"))
        role = ROLE_NAMES.get(said, said) if isinstance(said, str) else None
        if role not in ROLES:
            raise _fault(
                row, where, f"message {number} has role {str(said)[:40]!r}; known are {', '.join(ROLES)}, human, gpt"
            )
        if not isinstance(content, str):
            raise _fault(row, where, f"message {number} has no text content")
        if role == "assistant" and not content.strip():
            raise _fault(row, where, f"the answer in message {number} is empty")
        thought = turn.get("reasoning_content")
        if thought is not None and not isinstance(thought, str):
            raise _fault(row, where, f"reasoning_content of message {number} is {type(thought).__name__}, not text")
        if role == "assistant" and thought is not None and thought.strip():
            content = THOUGHT.format(thought.strip(), content.strip())
        messages.append(Message(str(role), content))
    return messages


def _reasoned(row: Row, where: str) -> list[Message]:
    (answer,) = _answer(row, "content", where)
    thought = _text(row, "reasoning_content", where).strip()
    said = THOUGHT.format(thought, answer.content.strip()) if thought else answer.content
    return [Message("user", _text(row, "input", where)), Message("assistant", said)]


def _plain(row: Row, where: str) -> list[Message]:
    text = _text(row, "text", where)
    if not text.strip():
        raise _fault(row, where, "the text is empty")
    return [Message(TEXT, text)]


def _prompt_completion(row: Row, where: str) -> list[Message]:
    prompt = row["prompt"]
    asked = _turns(prompt, row, where) if not isinstance(prompt, str) else [Message("user", prompt)]
    key = "response" if row.get("completion") is None and row.get("response") is not None else "completion"
    completion = row.get(key)
    if isinstance(completion, Sequence) and not isinstance(completion, str):
        return asked + _turns(completion, row, where)
    return asked + _answer(row, key, where)


def _alpaca(row: Row, where: str) -> list[Message]:
    """Read instruction, input and output; `history` holds earlier (question, answer) pairs, oldest first."""
    messages: list[Message] = []
    history = row.get("history")
    if history is not None and history != "" and (not isinstance(history, Sequence) or isinstance(history, str)):
        raise _fault(row, where, f"history is {type(history).__name__}, not a list of pairs of question and answer")
    for number, pair in enumerate(history or (), 1):
        if not isinstance(pair, Sequence) or isinstance(pair, str) or len(pair) != 2:
            raise _fault(row, where, f"history entry {number} is not a pair of question and answer")
        asked, answered = (_plain_text(part, f"history entry {number}", row, where) for part in pair)
        if not answered.strip():
            raise _fault(row, where, f"the answer in history entry {number} is empty")
        messages += [Message("user", asked), Message("assistant", answered)]
    parts = [_text(row, "instruction", where), _text(row, "input", where) if row.get("input") else ""]
    messages.append(Message("user", "\n\n".join(part for part in parts if part)))
    return messages + _answer(row, "output", where)


def _answer(row: Row, key: str, where: str) -> list[Message]:
    if row.get(key) is None:
        raise _fault(row, where, f"there is no answer ({key} is missing)")
    text = _text(row, key, where)
    if not text.strip():
        raise _fault(row, where, f"the answer ({key}) is empty")
    return [Message("assistant", text)]


def _text(row: Row, key: str, where: str) -> str:
    """Return a column as text; numbers are converted, since data files often store short answers as numbers."""
    if row.get(key) is None:
        raise _fault(row, where, f"{key} is missing")
    return _plain_text(row[key], key, row, where)


def _plain_text(value: Any, name: str, row: Row, where: str) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, float) and not math.isfinite(value):  # data frames write a missing value as NaN
        raise _fault(row, where, f"{name} is {value}, not text")
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    raise _fault(row, where, f"{name} is {type(value).__name__}, not text")


MESSAGES = "messages (role, content)"
READERS: tuple[tuple[str, str, Callable[[Row, str], list[Message]]], ...] = (
    # R1-Distill-SFT
    ("reannotated_messages", MESSAGES, lambda row, where: _turns(row["reannotated_messages"], row, where)),
    ("messages", MESSAGES, lambda row, where: _turns(row["messages"], row, where)),
    # ShareGPT
    ("conversations", "conversations (from, value)", lambda row, where: _turns(row["conversations"], row, where)),
    ("prompt", "prompt + completion", _prompt_completion),
    ("instruction", "instruction [+ input, history] + output", _alpaca),
    # Chinese-DeepSeek-R1-Distill
    ("reasoning_content", "input + reasoning_content + content", _reasoned),
)
"""(column, name of the format, reader) of each format; the first whose column is present is used. A new one is an entry
here.
"""


def known() -> tuple[str, ...]:
    """Return the names of the formats for people: readers, pairs, plain text."""
    pairs = [f"{pair.asks} + {pair.answers}" for pair in PAIRS if pair.is_listed]
    return tuple(dict.fromkeys([name for _, name, _ in READERS] + pairs + [PLAIN]))


def format_of(row: Row) -> str:
    """Return the name of a row's format; "unknown" if no reader takes it.

    The name is one of `known()`, or that of a pair that is not listed.
    """
    for key, name, _ in READERS:
        if row.get(key) is not None:
            return name
    for pair in PAIRS:
        if row.get(pair.asks) is not None and row.get(pair.answers) is not None:
            return f"{pair.asks} + {pair.answers}"
    return PLAIN if row.get("text") is not None else "unknown"


def _fault(row: Row, where: str, what: str) -> QweftError:
    keys = ", ".join(str(key)[:40] for key in list(row)[:12]) or "none"
    return QweftError(f"{where}: {what}; its keys are {keys}; understood are {'; '.join(known())}")
