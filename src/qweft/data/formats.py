"""One row of any known format becomes a conversation."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from qweft.data.conversation import ROLES, Conversation, Message, prompt_group
from qweft.errors import QweftError

Row = Mapping[str, Any]

KNOWN = (
    "messages (role, content)",
    "conversations (from, value)",
    "prompt + completion",
    "instruction [+ input, history] + output",
    "question + answer",
    "query + response",
    "problem + solution",
)
ROLE_NAMES = {
    "human": "user",
    "gpt": "assistant",
    "bot": "assistant",
    "model": "assistant",
    "client": "user",
    "observation": "tool",
}
PAIRS = (
    ("question", "answer"),
    ("query", "response"),
    # R1-Distill-SFT: the checked chain of thought where there is one.
    ("problem", "reannotated_assistant_content"),
    ("problem", "solution"),
)


def to_conversation(row: Row, where: str) -> Conversation:
    """Turn a row into a conversation.

    Known are `messages` (role, content); `conversations` (from, value; ShareGPT); `prompt` and `completion`, each a
    text or a list of messages; `instruction`, `input`, `output` and `history` (Alpaca); `question` and `answer`;
    `query` and `response` (MetaMathQA); `problem` with `reannotated_assistant_content` or `solution` (R1-Distill-SFT).
    A `system` column is put in front. The group is the column `group`, else `original_question` (MetaMathQA asks
    each question in several ways), else a hash of the prompt. Turns after the last answer are left out: there is
    nothing to learn from them.

    Args:
        row: Column names and values.
        where: Place of the row for errors: "data.jsonl, row 3".

    Raises:
        QweftError: The format is not known, a turn is malformed, or there is no answer.
    """
    messages = _read(row, where)
    while messages and messages[-1].role != "assistant":
        messages.pop()
    if not messages:
        raise _fault(row, where, "there is no answer to learn from")
    if not any(message.role in {"user", "tool", "system"} for message in messages[:1]):
        raise _fault(row, where, "the answer comes first, and nothing asks for it")
    system = row.get("system")
    if isinstance(system, str) and system.strip() and messages[0].role != "system":
        messages.insert(0, Message("system", system))
    for name in ("group", "original_question"):
        if row.get(name) not in (None, ""):
            return Conversation(tuple(messages), str(row[name]))
    return Conversation(tuple(messages), prompt_group(messages))


def _read(row: Row, where: str) -> list[Message]:
    readers: tuple[tuple[str, Callable[[Row, str], list[Message]]], ...] = (
        ("messages", lambda row, where: _turns(row["messages"], row, where)),
        ("conversations", lambda row, where: _turns(row["conversations"], row, where)),
        ("prompt", _prompt_completion),
        ("instruction", _alpaca),
    )
    for key, reader in readers:
        if row.get(key) is not None:
            return reader(row, where)
    pairs = [pair for pair in PAIRS if row.get(pair[0]) is not None]
    for asks, answers in pairs:
        if row.get(answers) is not None:
            return [Message("user", _text(row, asks, where)), *_answer(row, answers, where)]
    if pairs:
        missing = " or ".join(dict.fromkeys(answers for _, answers in pairs))
        raise _fault(row, where, f"there is a {pairs[0][0]} but no answer ({missing} is missing)")
    raise _fault(row, where, "the format is not known")


def _turns(turns: Any, row: Row, where: str) -> list[Message]:
    """Read a list of {"role", "content"} or {"from", "value"}; empty answers are no answers."""
    if not isinstance(turns, Sequence) or isinstance(turns, str):
        raise _fault(row, where, f"a list of messages was expected, not {type(turns).__name__}")
    messages: list[Message] = []
    for number, turn in enumerate(turns, 1):
        if not isinstance(turn, Mapping):
            raise _fault(row, where, f"message {number} is {type(turn).__name__}, not an object with role and content")
        said, content = turn.get("role", turn.get("from")), turn.get("content", turn.get("value"))
        role = ROLE_NAMES.get(said, said) if isinstance(said, str) else None
        if role not in ROLES:
            raise _fault(row, where, f"message {number} has role {said!r}; known are {', '.join(ROLES)}, human, gpt")
        if not isinstance(content, str):
            raise _fault(row, where, f"message {number} has no text content")
        if role == "assistant" and not content.strip():
            raise _fault(row, where, f"the answer in message {number} is empty")
        messages.append(Message(str(role), content))
    return messages


def _prompt_completion(row: Row, where: str) -> list[Message]:
    prompt = row["prompt"]
    asked = _turns(prompt, row, where) if not isinstance(prompt, str) else [Message("user", prompt)]
    completion = row.get("completion")
    if isinstance(completion, Sequence) and not isinstance(completion, str):
        return asked + _turns(completion, row, where)
    return asked + _answer(row, "completion", where)


def _alpaca(row: Row, where: str) -> list[Message]:
    """Read instruction, input and output; `history` holds earlier (question, answer) pairs, oldest first."""
    messages: list[Message] = []
    for number, pair in enumerate(row.get("history") or (), 1):
        if not isinstance(pair, Sequence) or isinstance(pair, str) or len(pair) != 2:
            raise _fault(row, where, f"history entry {number} is not a pair of question and answer")
        messages += [Message("user", str(pair[0])), Message("assistant", str(pair[1]))]
    asked = [_text(row, "instruction", where), _text(row, "input", where) if row.get("input") else ""]
    messages.append(Message("user", "\n\n".join(part for part in asked if part)))
    return messages + _answer(row, "output", where)


def _answer(row: Row, key: str, where: str) -> list[Message]:
    if row.get(key) is None:
        raise _fault(row, where, f"there is no answer ({key} is missing)")
    text = _text(row, key, where)
    if not text.strip():
        raise _fault(row, where, f"the answer ({key}) is empty")
    return [Message("assistant", text)]


def _text(row: Row, key: str, where: str) -> str:
    """Return a column as text; numbers, as CSV and Parquet deliver short answers, are written out."""
    value = row[key]
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    raise _fault(row, where, f"{key} is {type(value).__name__}, not text")


def _fault(row: Row, where: str, what: str) -> QweftError:
    keys = ", ".join(str(key) for key in list(row)[:12]) or "none"
    return QweftError(f"{where}: {what}; its keys are {keys}; understood are {'; '.join(KNOWN)}")
