"""Reading of a row's list of messages, with tool calls and content in parts."""

import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from qweft.data.conversation import ROLES, TEXT, Message
from qweft.errors import QweftError

Row = Mapping[str, Any]

THOUGHT = "<think>\n{}\n</think>\n\n{}"
"""Format of a chain of thought and the answer after it, as in DeepSeek-R1."""
CALLS = "function_call"
"""ShareGPT's role of an assistant that calls tools; in OpenAI's older form the key of its only call."""
ROLE_NAMES = {
    "human": "user",
    "client": "user",
    "gpt": "assistant",
    "bot": "assistant",
    "model": "assistant",
    CALLS: "assistant",
    "observation": "tool",
    "function": "tool",
    "developer": "system",
}
PARTS = ("text", "str", "input_text", "output_text")
"""Types of a content's parts that are text; the last two are those of OpenAI's responses."""
THOUGHTS = ("reasoningcontent", "thinking", "reasoning")
"""Keys of an answer's chain of thought in most chat templates, in that of gpt-oss, and in the answers of servers.

They stand here without case and underscore.
"""
NO, YES = ("0", "0.0", "false"), ("1", "1.0", "true")
NOT_LEARNED = {
    "weight": NO, "train": NO, "training": NO, "trainable": NO, "loss": NO, "loss_weight": NO, "masked": YES
}  # fmt: skip
"""Keys and values by which other programs keep an answer out of the loss."""


class RowError(QweftError):
    """A row that cannot be read; `data.skip_bad_rows` leaves it out.

    Args:
        where: Place of the row, such as "data.jsonl, row 3".
        what: What is wrong with it.
    """

    def __init__(self, where: str, what: str) -> None:
        super().__init__(f"{where}: {what}")
        self.where, self.what = where, what


LONGEST_ROW = 2**22
"""Characters of a row, at most. A tokenizer cannot be interrupted, and takes minutes for far more."""


def bounded(where: str, row: dict[str, Any]) -> dict[str, Any] | RowError:
    """Return the row, or an error in its place if it is too long to be tokenised in bounded time."""
    characters, waiting = 0, [row]
    while waiting and characters <= LONGEST_ROW:
        value: Any = waiting.pop()
        if isinstance(value, str):
            characters += len(value)
        elif isinstance(value, dict | list):
            waiting.extend(value.values() if isinstance(value, dict) else value)
    if characters > LONGEST_ROW:
        return RowError(where, f"it holds more than {LONGEST_ROW:,} characters; cut it into several rows")
    return row


class UnknownFormatError(RowError):
    """A row whose columns are those of no known format."""


class AsWritten(float):
    """A number of a JSON file with its digits: as a text 0.00001 is not 1e-05."""

    __slots__ = ("digits",)
    digits: str


def plain_text(value: Any, name: str, where: str) -> str:
    """Return a value as text; numbers are converted, since data files often store short answers as numbers.

    Raises:
        RowError: It is neither text nor a number.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, float) and not math.isfinite(value):  # data frames write a missing value as NaN
        raise RowError(where, f"{name} is {value}, not text")
    if isinstance(value, AsWritten):
        return value.digits
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    raise RowError(where, f"{name} is {type(value).__name__}, not text; write it as a text or a number")


def read_turns(turns: Any, where: str, may_be_empty: bool = False) -> list[Message]:
    """Read a list of {"role", "content"} or {"from", "value"}.

    Args:
        turns: The list.
        where: Place of the row for errors.
        may_be_empty: Whether an answer may be empty, or marked as not to be learned: one that is only read.

    Raises:
        RowError: A turn is malformed, an answer is empty or marked as not to be learned, or a part is not text.
    """
    if not isinstance(turns, Sequence) or isinstance(turns, str | bytes):
        raise RowError(where, f"a list of messages was expected, not {type(turns).__name__}")
    messages: list[Message] = []
    called: list[dict[str, Any]] = []  # calls without a result yet
    for number, turn in enumerate(turns, 1):
        if not isinstance(turn, Mapping):
            raise RowError(where, f"message {number} is {type(turn).__name__}, not an object with role and content")
        message = _read_turn(turn, number, called, where, may_be_empty)
        called += message.turn.get("tool_calls", [])
        messages.append(message)
    return messages


def _read_turn(turn: Row, number: int, called: list[dict[str, Any]], where: str, may_be_empty: bool) -> Message:
    said = turn.get("role", turn.get("from"))
    role = ROLE_NAMES.get(said, said) if isinstance(said, str) else None
    if role not in ROLES:
        raise RowError(where, f"message {number} has role {str(said)[:40]!r}; known are {', '.join(ROLES)}, human, gpt")
    given = turn.get("content", turn.get("value"))
    calls = _calls(given if said == CALLS else turn.get("tool_calls") or turn.get(CALLS), number, where)
    if calls and role != "assistant":
        raise RowError(where, f"message {number} ({role}) calls a tool, which an assistant alone does")
    is_empty = said == CALLS or (given is None and bool(calls)) or (may_be_empty and not given and role == "assistant")
    content = "" if is_empty else _content(given, number, where)
    if role == "assistant" and not calls and not content.strip() and not may_be_empty:
        raise RowError(where, f"the answer in message {number} is empty")
    for key, value in turn.items() if role == "assistant" and not may_be_empty else ():
        marks = NOT_LEARNED.get(str(key).casefold())
        if marks is not None and str(value).strip().casefold() in marks:
            raise RowError(where, f"message {number} has {key} {value}, which means not to learn it; take it out")
    thought = _thought(turn, number, where) if role == "assistant" else ""
    if thought and not (content.lstrip().startswith("<think>") and thought in content):  # some have it in both
        content = THOUGHT.format(thought, content.strip())
    more: dict[str, Any] = {"tool_calls": calls} if calls else {}
    if role == "tool":
        more = _result_of(turn, called)
    return Message(str(role), content, json.dumps(more, ensure_ascii=False) if more else "")


def _thought(turn: Row, number: int, where: str) -> str:
    """Return an answer's chain of thought under whichever of its names, case and underscore aside; empty without."""
    found: dict[str, str] = {}
    for key, value in turn.items():
        is_one = str(key).casefold().replace("_", "") in THOUGHTS
        if not is_one or not value or isinstance(value, bool | float):  # a flag says how it was asked; NaN is missing
            continue
        if not isinstance(value, str):
            raise RowError(where, f"{key} of message {number} is {type(value).__name__}, not text; leave it out")
        if value.strip():
            found[str(key)] = value.strip()
    if len({*found.values()}) > 1:
        raise RowError(where, f"{' and '.join(found)} of message {number} differ; keep one of them")
    return next(iter(found.values()), "")


def _content(content: Any, number: int, where: str) -> str:
    """Return the text of a content: a text, or a list of parts of which each is one."""
    if isinstance(content, str):
        return content
    if not isinstance(content, Sequence) or isinstance(content, bytes) or not content:
        raise RowError(where, f"message {number} has no text content")
    texts: list[str] = []
    for part in content:
        kind = part.get("type", "text") if isinstance(part, Mapping) else type(part).__name__
        text = part.get("text") if isinstance(part, Mapping) else part
        if kind not in PARTS or not isinstance(text, str):
            raise RowError(where, f"message {number} has a part of type {str(kind)[:40]}, and only text is read")
        texts.append(text)
    return "".join(texts)


def _calls(given: Any, number: int, where: str) -> list[dict[str, Any]]:
    """Return tool calls in the form that chat templates take: arguments are an object, not JSON text."""
    if given is None:
        return []
    given = _parsed(given, f"the tool calls of message {number}", where)
    calls = [given] if isinstance(given, Mapping) else given
    if not isinstance(calls, Sequence) or isinstance(calls, str):
        raise RowError(where, f"the tool calls of message {number} are {type(given).__name__}, not a list")
    found: list[dict[str, Any]] = []
    for call in calls:
        function = call.get("function", call) if isinstance(call, Mapping) else None
        name = function.get("name") if isinstance(function, Mapping) else None
        if not isinstance(function, Mapping) or not isinstance(name, str) or not name.strip():
            raise RowError(where, f"a tool call of message {number} names no function; it needs name and arguments")
        arguments = function.get("arguments", function.get("parameters"))
        arguments = {} if arguments in (None, "") else arguments
        arguments = _parsed(arguments, f"the arguments of {name[:40]} in message {number}", where)
        if not isinstance(arguments, Mapping):
            raise RowError(where, f"the arguments of {name[:40]} in message {number} are no JSON object")
        # A Parquet file holds every argument of any call, null where a call does not have it.
        made = {"name": name, "arguments": _jsonable(arguments, f"the arguments of {name[:40]}", where)}
        known = {"id": call["id"]} if isinstance(call.get("id"), str) else {}
        found.append({"type": "function", **known, "function": made})
    return found


def _result_of(turn: Row, called: list[dict[str, Any]]) -> dict[str, Any]:
    """Return name and call id of a tool's result, which are taken from its call where they are not given."""
    kept = {key: turn[key] for key in ("name", "tool_call_id") if isinstance(turn.get(key), str)}
    asked = next((call for call in called if call.get("id") == kept.get("tool_call_id", call.get("id"))), None)
    if asked is None:
        return {}
    called.remove(asked)
    known = {"tool_call_id": asked["id"]} if "id" in asked else {}
    return {"name": asked["function"]["name"], **known, **kept}


def offered(row: Row, messages: Sequence[Message]) -> Any:
    """Return a row's `tools`, or OpenAI's older list `functions` of the same objects; `None` without any.

    Elsewhere `functions` may be anything. So they are tools only where all are objects with a name, and one has
    `parameters` or a message has a call.
    """
    given = row.get("functions")
    if row.get("tools") or given is None:
        return row.get("tools")
    try:
        given = json.loads(given) if isinstance(given, str) else given
    except (ValueError, RecursionError):
        return None
    if not isinstance(given, Sequence) or not all(isinstance(each, Mapping) and "name" in each for each in given):
        return None
    has_calls = any(message.calls for message in messages)
    return given if has_calls or any("parameters" in each for each in given) else None


def read_tools(given: Any, where: str) -> str:
    """Return a row's `tools` as a JSON list of {"type": "function", "function": ...}; empty without any.

    Args:
        given: A list of tools, or its JSON text; a function may stand without the object around it.
        where: Place of the row for errors.

    Raises:
        RowError: It is no such list.
    """
    if given is None or given == "":
        return ""
    tools = _parsed(given, "tools", where)
    if not isinstance(tools, Sequence) or isinstance(tools, str | bytes):
        raise RowError(where, f"tools is {type(tools).__name__}, not a list")
    found: list[dict[str, Any]] = []
    for number, tool in enumerate(tools, 1):
        function = tool.get("function", tool) if isinstance(tool, Mapping) else None
        if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
            raise RowError(
                where, f"tool {number} of tools names no function; it needs name, description and parameters"
            )
        found.append({"type": "function", "function": _jsonable(function, "tools", where)})
    return json.dumps(found, ensure_ascii=False) if found else ""


def listed(value: Any, what: str, where: str) -> Any:
    """Return the list that a JSON text holds, as a CSV file has lists; other values as they are."""
    return _parsed(value, what, where) if isinstance(value, str) and value.lstrip()[:1] == "[" else value


def turns_in(text: Any) -> list[Any] | None:
    """Return the messages that a JSON text holds, if it is a list of nothing else; else `None`."""
    if not isinstance(text, str) or text.lstrip()[:1] != "[":
        return None
    try:
        found: list[Any] = json.loads(text)
    except (ValueError, RecursionError):
        return None
    keys = [each.keys() if isinstance(each, Mapping) else set() for each in found]
    forms = ({"role", "content"}, {"role", "tool_calls"}, {"from", "value"})
    return found if all(any(each >= form for form in forms) for each in keys) else None


def with_turns(row: Row) -> Row:
    """Return a row with lists in place of a prompt and completion that are JSON texts of messages, as in a CSV file.

    One of them alone stays a text: a chat to be judged, or to be written.
    """
    key = "completion" if row.get("completion") is not None else "response"
    found = {name: turns_in(row.get(name)) for name in ("prompt", key)}
    return {**row, **found} if all(found.values()) else row


PYTHON = re.compile(r"\s*\[\{'(role|content|from|value)': ")
AS_PYTHON = "as Python writes them; save the rows as .jsonl, where lists stay lists"
"""What is said of such texts: data frames and data sets write lists into a CSV file so."""


def as_python(text: Any) -> bool:
    """Whether a value is a list of messages, written as Python shows it and not as JSON."""
    return isinstance(text, str) and PYTHON.match(text) is not None


def refuse_python(texts: Sequence[Any], what: str, where: str) -> None:
    """Refuse texts that are all lists of messages as Python writes them, which would be learned as text.

    Raises:
        RowError: They are.
    """
    if all(map(as_python, texts)):
        raise RowError(where, f"{what} are lists of messages {AS_PYTHON}")


def _parsed(value: Any, what: str, where: str) -> Any:
    """Return what a JSON text holds; other values as they are."""
    if not isinstance(value, str):
        return value
    if as_python(value):
        raise RowError(where, f"{what}: not JSON but messages {AS_PYTHON}")
    try:
        return json.loads(value, object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        unread = f"; leave the column out by --data.columns.{what} ''" if what in ("tools", "history") else ""
        raise RowError(where, f"{what}: not JSON ({str(error)[:80]}){unread}") from error


class DuplicateKeyError(ValueError):
    """An object of a JSON text has a key twice."""


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object as a dict; the json module would keep the last of two equal keys.

    Raises:
        DuplicateKeyError: There are two.
    """
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise DuplicateKeyError(f"the key {twice[:60]!r} stands twice in an object; rename or remove one")
    return found


def _jsonable(value: Mapping[str, Any], what: str, where: str) -> dict[str, Any]:
    try:
        kept: dict[str, Any] = json.loads(json.dumps(dict(value), allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise RowError(where, f"{what}: not what JSON can hold ({str(error)[:80]})") from error
    return kept


HALF_A_CHARACTER = re.compile("[\ud800-\udfff]")
"""A lone UTF-16 surrogate, which Python's JSON parser lets through; no tokenizer accepts it."""


def check_characters(messages: Sequence[Message], where: str) -> None:
    """Check for characters that come from reading a file in the wrong encoding.

    Raises:
        RowError: A message holds one.
    """
    for number, message in enumerate(messages, 1):
        what = "the text" if message.role == TEXT else f"message {number} ({message.role})"
        check_text(message.said, what, where)


def check_text(text: str, what: str, where: str) -> None:
    """Check one text likewise.

    Raises:
        RowError: It holds a NUL character or half a character.
    """
    if "\x00" in text:
        raise RowError(where, f"{what} holds a NUL character, as UTF-16 read as UTF-8 has; save it as UTF-8")
    if half := HALF_A_CHARACTER.search(text):
        raise RowError(where, f"{what} holds half a character, {half[0]!r}, which is no text; write it whole")
