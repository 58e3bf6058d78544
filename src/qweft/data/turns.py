"""Messages of a row: roles, content in parts, chains of thought, tools and their calls."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from qweft.core.errors import QweftError
from qweft.data.conversation import ROLES, Message

Row = Mapping[str, Any]

THOUGHT = "<think>\n{}\n</think>\n\n{}"
"""Format of a chain of thought and the answer after it, as in DeepSeek-R1."""
THOUGHTS = ("reasoning_content", "thinking", "reasoning")
"""Keys of an answer's chain of thought, in most chat templates and in the answers of servers."""
CALLS = "function_call"
"""ShareGPT's role of an assistant that calls tools; in OpenAI's older form the key of its only call."""
ROLE_NAMES = {
    **{role: role for role in ROLES},
    **dict.fromkeys(("human", "client"), "user"),
    **dict.fromkeys(("gpt", "bot", "model", CALLS), "assistant"),
    **dict.fromkeys(("observation", "function"), "tool"),
    "developer": "system",
}
PARTS = ("text", "str", "input_text", "output_text")
"""Types of a content's parts that are text."""
NO_TEXT = re.compile("[\x00\ud800-\udfff]")
"""NUL and lone surrogates, which come of a wrong encoding and which no tokenizer accepts."""


class RowError(QweftError):
    """A row that cannot be read: its place, and what is wrong. `data.skip_bad_rows` leaves it out."""

    def __init__(self, where: str, what: str) -> None:
        super().__init__(f"{where}: {what}")
        self.where, self.what = where, what


def is_list(value: object) -> bool:
    """Return whether a value is a list, as of messages."""
    return isinstance(value, list | tuple)


def plain_text(value: Any, name: str, where: str) -> str:
    """Return a text or number as text; raise for anything else, and for half a character."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not isinstance(value, str) and not is_number:
        kind = value if isinstance(value, float) else type(value).__name__
        raise RowError(where, f"{name} is {kind}, not text; write it as a text or a number, or leave it out")
    text = str(value)
    if NO_TEXT.search(text):
        raise RowError(where, f"{name} holds a NUL or half a character, as of a wrong encoding; save it as UTF-8")
    return text


def parsed(value: Any, what: str, where: str) -> Any:
    """Return what a JSON text holds; other values as they are."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError as error:
        raise RowError(where, f"{what}: not JSON ({str(error)[:80]})") from error


def parsed_list(value: Any, what: str, where: str) -> Sequence[Any]:
    """Return a list, or one of which the value is the JSON text, as a CSV file has it; empty for nothing."""
    values = [] if value is None or value == "" else parsed(value, what, where)
    if not is_list(values):
        raise RowError(where, f"{what}: {type(values).__name__}, not a list")
    return values


def read_turns(turns: Any, where: str, may_be_empty: bool = False) -> list[Message]:
    """Read a list of {"role", "content"} or {"from", "value"}, or its JSON text."""
    messages: list[Message] = []
    called: list[dict[str, Any]] = []  # calls without a result yet
    for number, turn in enumerate(parsed_list(turns, "the list of messages", where), 1):
        message = _read_turn(turn, f"message {number}", called, where, may_be_empty)
        if message.more and message.role == "assistant":
            called += message.turn["tool_calls"]
        messages.append(message)
    return messages


def _read_turn(turn: Any, name: str, called: list[dict[str, Any]], where: str, may_be_empty: bool) -> Message:
    if not isinstance(turn, Mapping):
        raise RowError(where, f"{name} is {type(turn).__name__}, not an object with role and content")
    given = turn.get("role", turn.get("from"))
    role = ROLE_NAMES.get(given) if isinstance(given, str) else None
    if role is None:
        raise RowError(where, f"{name} has role {str(given)[:40]!r}; known are {', '.join(ROLES)}, human, gpt")
    content = turn.get("content", turn.get("value"))
    calls = _calls(content if given == CALLS else turn.get("tool_calls") or turn.get(CALLS), name, where)
    is_answer = role == "assistant"
    is_empty = given == CALLS or (is_answer and not content and (bool(calls) or may_be_empty))
    text = "" if is_empty else _content(content, name, where)
    if is_answer and not may_be_empty:
        if not calls and not text.strip():
            raise RowError(where, f"the answer in {name} is empty")
        if turn.get("weight", 1) in (0, "0") or turn.get("train") is False:
            raise RowError(where, f"{name} has a weight of 0, which means not to learn it; take it out")
    thought = next((turn[key] for key in THOUGHTS if is_answer and turn.get(key)), "")
    text = with_thought(plain_text(thought, f"the thought of {name}", where), text)
    more = {"tool_calls": calls} if calls else _result_of(turn, called) if role == "tool" else {}
    return Message(role, text, _json(more, f"the tools of {name}", where) if more else "")


def with_thought(thought: str, answer: str) -> str:
    """Return an answer after its chain of thought, which some rows have in both."""
    thought = thought.strip()
    return THOUGHT.format(thought, answer.strip()) if thought and "</think>" not in answer else answer


def _content(content: Any, name: str, where: str) -> str:
    """Return the text of a content: a text, or a list of parts of which each is one."""
    parts = [content] if isinstance(content, str) else content
    if not is_list(parts) or not parts:
        raise RowError(where, f"{name} has no text content")
    texts: list[str] = []
    for part in parts:
        given = part if isinstance(part, Mapping) else {"text": part}
        kind, text = given.get("type", "text"), given.get("text")
        if kind not in PARTS or not isinstance(text, str):
            raise RowError(where, f"{name} has a part of type {str(kind)[:40]}, and only text is read")
        texts.append(text)
    return plain_text("".join(texts), name, where)


def _calls(given: Any, name: str, where: str) -> list[dict[str, Any]]:
    """Return tool calls in the form that chat templates take: arguments are an object, not JSON text."""
    what = f"the tool calls of {name}"
    given = parsed(given or [], what, where)
    calls: list[dict[str, Any]] = []
    for call in parsed_list([given] if isinstance(given, Mapping) else given, what, where):
        function = _function(call, f"a tool call of {name}", where)
        what = f"the arguments of {function['name'][:40]} in {name}"
        arguments = function.get("arguments", function.get("parameters"))
        arguments = {} if arguments in (None, "") else parsed(arguments, what, where)
        if not isinstance(arguments, Mapping):
            raise RowError(where, f"{what} are no JSON object")
        known = {"id": call["id"]} if isinstance(call.get("id"), str) else {}
        called = {"name": function["name"], "arguments": arguments}
        calls.append({"type": "function", **known, "function": called})
    return calls


def _function(tool: Any, what: str, where: str) -> Row:
    """Return the function of a tool or call, which may stand without the object around it."""
    function = tool.get("function", tool) if isinstance(tool, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise RowError(where, f"{what} names no function; it needs a name")
    return function


def _result_of(turn: Row, called: list[dict[str, Any]]) -> dict[str, Any]:
    """Return name and call id of a tool's result, which are taken from its call where they are not given."""
    kept = {key: turn[key] for key in ("name", "tool_call_id") if isinstance(turn.get(key), str)}
    asked = next((call for call in called if call.get("id") == kept.get("tool_call_id", call.get("id"))), None)
    if asked is None:
        return {}
    called.remove(asked)
    known = {"tool_call_id": asked["id"]} if "id" in asked else {}
    return {"name": asked["function"]["name"], **known, **kept}


def read_tools(given: Any, where: str) -> str:
    """Return a row's `tools`, or its JSON text, as a JSON list of {"type": "function", ...}; empty without any."""
    functions = [_function(tool, "an entry of tools", where) for tool in parsed_list(given, "tools", where)]
    made = [{"type": "function", "function": function} for function in functions]
    return _json(made, "tools", where) if made else ""


def _json(value: Any, what: str, where: str) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise RowError(where, f"{what}: not what JSON can hold ({str(error)[:80]})") from error
    return plain_text(text, what, where)
