"""Tools, calls and results written as text, for chat templates that have no place for them."""

import json
from dataclasses import replace
from typing import Any

from qweft.core.errors import QweftError
from qweft.data.conversation import TOOL_CALL, Conversation, Message
from qweft.data.template import render

TOOLS = "You may call these tools:\n<tools>\n{}\n</tools>\nA call looks like this: {}"
TOOL_RESULT = "<tool_response>\n{}\n</tool_response>"
"""Plain form of what a tool returned, as in Hermes and Qwen."""

PROBE_CALL = {"name": "name_of_probe", "arguments": {"place": "argument-of-probe"}}
PROBE_CALLS = {"tool_calls": [{"type": "function", "id": "abcDEF123", "function": PROBE_CALL}]}
PROBE = (
    Message("user", "question-of-probe"),
    Message("assistant", "", json.dumps(PROBE_CALLS)),
    Message("tool", "result-of-probe", '{"name": "name_of_probe", "tool_call_id": "abcDEF123"}'),
    Message("assistant", "answer-of-probe"),
)
PROBE_TOOLS = (
    '[{"type": "function", "function": {"name": "name_of_probe", "description": "described-for-probe", "parameters": '
    '{"type": "object", "properties": {"place": {"type": "string", "description": "a place"}}}}}]'
)
PROBE_TEXTS = ("described-for-probe", "argument-of-probe", "result-of-probe", "answer-of-probe")
"""A conversation with tools, and what a template that has a place for them writes of it."""


def adapt_to_template(conversation: Conversation, tokenizer: Any) -> Conversation:
    """Return a conversation whose tools, calls and results the chat template writes: if need be as text."""
    if not conversation.has_tools or writes_tools(tokenizer):
        return conversation
    messages = _write_calls_and_results(conversation)
    if conversation.tools:
        first = messages[0]
        messages[0] = Message(first.role, f"{_write_tools(conversation.tools)}\n\n{first.content}")
    return replace(conversation, messages=tuple(messages), tools="")


def writes_tools(tokenizer: Any) -> bool:
    """Return whether the chat template writes tools, calls and results: many leave them out without an error."""
    try:
        text = render(PROBE, tokenizer, tools=PROBE_TOOLS)
    except QweftError:
        return False
    return all(expected in text for expected in PROBE_TEXTS)


def _write_calls_and_results(conversation: Conversation) -> list[Message]:
    """Return the messages with calls after the answers that make them, and results as turns of the user."""
    written: list[Message] = []
    after_result = False
    for message in conversation.messages:
        is_result = message.role == "tool"
        if not is_result:
            written.append(Message(message.role, message.full_text))
        else:
            result = TOOL_RESULT.format(message.content)
            if after_result:  # results of several calls stand in one turn, as templates take no two of a role in a row
                result = f"{written.pop().content}\n{result}"
            written.append(Message("user", result))
        after_result = is_result
    return written


def _write_tools(tools: str) -> str:
    """Return the text that tells a model of its tools, one on a line."""
    lines = [json.dumps(tool, ensure_ascii=False) for tool in json.loads(tools)]
    example = TOOL_CALL.format('{"name": ..., "arguments": ...}')
    return TOOLS.format("\n".join(lines), example)
