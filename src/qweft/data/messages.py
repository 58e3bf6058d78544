"""Messages of a row: roles, content in parts, and chains of thought."""

from collections.abc import Mapping
from typing import Any

from qweft.data.conversation import ROLES, Message
from qweft.data.row import Row, RowError, is_list, read_list, read_text, write_json
from qweft.data.tool_calls import match_result, read_calls

THOUGHT = "<think>\n{}\n</think>\n\n{}"
"""Format of a chain of thought and the answer after it, as in DeepSeek-R1."""
THOUGHT_KEYS = ("reasoning_content", "thinking", "reasoning")
"""Keys of an answer's chain of thought, in most chat templates and in the answers of servers."""
FUNCTION_CALL = "function_call"
"""ShareGPT's role of an assistant that calls tools; in OpenAI's older form the key of its only call."""
ROLE_NAMES = {
    **{role: role for role in ROLES},
    **dict.fromkeys(("human", "client"), "user"),
    **dict.fromkeys(("gpt", "bot", "model", FUNCTION_CALL), "assistant"),
    **dict.fromkeys(("observation", "function"), "tool"),
    "developer": "system",
}
"""The role in chat templates of each role in rows."""
TEXT_PARTS = ("text", "str", "input_text", "output_text")
"""Types of a content's parts that are text."""


def read_messages(turns: Any, where: str, may_be_empty: bool = False) -> list[Message]:
    """Read a list of {"role", "content"} or {"from", "value"}, or its JSON text.

    With `may_be_empty` an answer may be nothing, as in a request to a server.
    """
    messages: list[Message] = []
    open_calls: list[dict[str, Any]] = []  # calls without a result yet
    for number, turn in enumerate(read_list(turns, "the list of messages", where), 1):
        name = f"message {number}"
        if not isinstance(turn, Mapping):
            raise RowError(where, f"{name} is {type(turn).__name__}, not an object with role and content")
        role = _read_role(turn, name, where)
        calls = _read_calls(turn, name, where)
        if role == "assistant":
            content = _read_answer(turn, bool(calls), name, where, may_be_empty)
            open_calls += calls
        else:
            content = _read_content(_content_of(turn), name, where)
        more: dict[str, Any] = {}
        if calls:
            more = {"tool_calls": calls}
        elif role == "tool":
            more = match_result(turn, open_calls)
        message = Message(role, content)
        if more:
            message = message._replace(more=write_json(more, f"the tools of {name}", where))
        messages.append(message)
    return messages


def add_thought(thought: str, answer: str) -> str:
    """Return an answer after its chain of thought, which some rows have in both."""
    thought = thought.strip()
    if not thought or "</think>" in answer:
        return answer
    return THOUGHT.format(thought, answer.strip())


def _read_role(turn: Row, name: str, where: str) -> str:
    """Return the role of a turn by the name that chat templates have for it."""
    written = _written_role(turn)
    if not isinstance(written, str) or written not in ROLE_NAMES:
        raise RowError(where, f"{name} has role {str(written)[:40]!r}; known are {', '.join(ROLES)}, human, gpt")
    return ROLE_NAMES[written]


def _written_role(turn: Row) -> Any:
    return turn.get("role", turn.get("from"))


def _content_of(turn: Row) -> Any:
    return turn.get("content", turn.get("value"))


def _read_calls(turn: Row, name: str, where: str) -> list[dict[str, Any]]:
    """Return the tool calls of a turn, which in ShareGPT's form are its content."""
    if _written_role(turn) == FUNCTION_CALL:
        calls = _content_of(turn)
    else:
        calls = turn.get("tool_calls") or turn.get(FUNCTION_CALL)
    return read_calls(calls, name, where)


def _read_answer(turn: Row, has_calls: bool, name: str, where: str, may_be_empty: bool) -> str:
    """Return an answer after its chain of thought; raise if it is empty, or not to be learned."""
    content = _content_of(turn)
    is_empty = not content and (has_calls or may_be_empty)
    if is_empty or _written_role(turn) == FUNCTION_CALL:
        answer = ""
    else:
        answer = _read_content(content, name, where)
    if not may_be_empty:
        if not has_calls and not answer.strip():
            raise RowError(where, f"the answer in {name} is empty")
        _check_weight(turn, name, where)
    thought = next((turn[key] for key in THOUGHT_KEYS if turn.get(key)), "")
    return add_thought(read_text(thought, f"the thought of {name}", where), answer)


def _check_weight(turn: Row, name: str, where: str) -> None:
    """Raise if an answer is marked as one not to learn: here every answer is learned."""
    if turn.get("weight", 1) in (0, "0") or turn.get("train") is False:
        raise RowError(where, f"{name} has a weight of 0, which means not to learn it; take it out")


def _read_content(content: Any, name: str, where: str) -> str:
    """Return the text of a content: a text, or a list of parts of which each is one."""
    if isinstance(content, str):
        content = [content]
    if not is_list(content) or not content:
        raise RowError(where, f"{name} has no text content")
    texts = [_read_part(part, name, where) for part in content]
    return read_text("".join(texts), name, where)


def _read_part(part: Any, name: str, where: str) -> str:
    """Return the text of a content's part, which is a text or an object with one; raise for images and the like."""
    kind: Any = "text"
    text = part
    if isinstance(part, Mapping):
        kind = part.get("type", "text")
        text = part.get("text")
    if kind not in TEXT_PARTS or not isinstance(text, str):
        raise RowError(where, f"{name} has a part of type {str(kind)[:40]}, and only text is read")
    return text
