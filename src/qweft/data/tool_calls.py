"""Tools of a row, their calls and their results, in the form that chat templates take."""

from collections.abc import Mapping
from typing import Any

from qweft.data.row import Row, RowError, read_json, read_list, write_json


def read_tools(tools: Any, where: str) -> str:
    """Return a row's `tools`, or its JSON text, as a JSON list of {"type": "function", ...}; empty without any."""
    functions = [_read_function(tool, "an entry of tools", where) for tool in read_list(tools, "tools", where)]
    if not functions:
        return ""
    return write_json([{"type": "function", "function": function} for function in functions], "tools", where)


def read_calls(calls: Any, name: str, where: str) -> list[dict[str, Any]]:
    """Return the tool calls of the message `name`; their arguments become an object, not JSON text."""
    title = f"the tool calls of {name}"
    calls = read_json(calls or [], title, where)
    if isinstance(calls, Mapping):  # ShareGPT's form, and OpenAI's older one, have a single call
        calls = [calls]
    return [_read_call(call, name, where) for call in read_list(calls, title, where)]


def _read_call(call: Any, name: str, where: str) -> dict[str, Any]:
    function = _read_function(call, f"a tool call of {name}", where)
    read = {"type": "function"}
    if isinstance(call.get("id"), str):
        read["id"] = call["id"]
    return {**read, "function": {"name": function["name"], "arguments": _read_arguments(function, name, where)}}


def _read_arguments(function: Row, name: str, where: str) -> Mapping[str, Any]:
    """Return the arguments of a call by name; some rows call them parameters."""
    title = f"the arguments of {function['name'][:40]} in {name}"
    arguments = function.get("arguments", function.get("parameters"))
    if arguments in (None, ""):
        return {}
    arguments = read_json(arguments, title, where)
    if not isinstance(arguments, Mapping):
        raise RowError(where, f"{title} are no JSON object")
    return arguments


def _read_function(tool: Any, title: str, where: str) -> Row:
    """Return the function of a tool or call, which may stand without the object around it."""
    function = tool
    if isinstance(tool, Mapping):
        function = tool.get("function", tool)
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise RowError(where, f"{title} names no function; it needs a name")
    return function


def match_result(turn: Row, open_calls: list[dict[str, Any]]) -> dict[str, Any]:
    """Return name and call id of a tool's result, which are taken from its call where the turn has none.

    The call is taken out of `open_calls`, the calls that have no result yet. Without an id it is the first of them.
    """
    labels = {key: turn[key] for key in ("name", "tool_call_id") if isinstance(turn.get(key), str)}
    for call in open_calls:
        call_id = call.get("id")
        if labels.get("tool_call_id", call_id) == call_id:
            break
    else:
        return {}
    open_calls.remove(call)
    from_call = {"name": call["function"]["name"]}
    if "id" in call:
        from_call["tool_call_id"] = call["id"]
    return from_call | labels
