"""Tool calls: read from every form, shown by the chat template or written as text, learned with the answers."""

import json

import pytest

from qweft.data.convert import to_conversation
from qweft.data.template import with_template
from qweft.data.tokens import tokenise
from qweft.data.tool_text import writes_tools
from qweft.evaluation.generation import prompt_of
from tests.data.tiny_tokenizer import learned_text, make_tokenizer

QWEN = """\
{%- if tools %}{{ '<|im_start|>system\\n# Tools\\n<tools>' }}
{%- for tool in tools %}{{ '\\n' + (tool | tojson) }}{% endfor %}{{ '\\n</tools><|im_end|>\\n' }}{% endif %}
{%- for m in messages %}
{%- if m.role == 'tool' %}
{{- '<|im_start|>user\\n<tool_response>\\n' + m.content + '\\n</tool_response><|im_end|>\\n' }}
{%- else %}{{ '<|im_start|>' + m.role + '\\n' + m.content }}
{%- for call in m.tool_calls %}{{ '<tool_call>' }}
{{- {'name': call.function.name, 'arguments': call.function.arguments} | tojson }}{{ '</tool_call>' }}{% endfor %}
{{- '<|im_end|>\\n' }}{% endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"""
"""Writes tools in the way of Qwen's."""

FUNCTION = {"name": "weather", "description": "Tells it.", "parameters": {"type": "object", "properties": {}}}
TOOLS = [{"type": "function", "function": FUNCTION}]
CALLED = {"name": "weather", "arguments": {"city": "Oslo"}}


def call(arguments=CALLED["arguments"], **more):
    return {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": arguments}, **more}


def turns(calls, content=None):
    return [
        {"role": "user", "content": "How is it?"},
        {"role": "assistant", "content": content, "tool_calls": calls},
        {"role": "tool", "tool_call_id": "c1", "content": "cold"},
        {"role": "assistant", "content": "It is cold."},
    ]


SHAREGPT = [
    {"from": "human", "value": "How is it?"},
    {"from": "function_call", "value": json.dumps(CALLED)},
    {"from": "observation", "value": "cold"},
    {"from": "gpt", "value": "It is cold."},
]
OLD_OPENAI = [
    turns([])[0],
    {"role": "assistant", "content": None, "function_call": {"name": "weather", "arguments": '{"city": "Oslo"}'}},
    {"role": "function", "name": "weather", "content": "cold"},
    turns([])[3],
]
FORMS = {
    "openai": {"messages": turns([call('{"city": "Oslo"}')]), "tools": TOOLS},
    "objects": {"messages": turns([call()], content=""), "tools": json.dumps(TOOLS)},
    "sharegpt": {"conversations": SHAREGPT, "tools": json.dumps([FUNCTION])},
    "older openai": {"messages": OLD_OPENAI, "tools": [FUNCTION]},
    "prompt": {"prompt": turns([call()])[:1], "completion": turns([call()])[1:], "tools": TOOLS},
    "prompt as text": {"prompt": "How is it?", "completion": turns([call()])[1:], "tools": TOOLS},
}


@pytest.fixture(scope="module")
def qwen():
    return make_tokenizer(QWEN)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_calls_and_results_says_the_same(form):
    found = to_conversation(FORMS[form], "here")
    assert [message.role for message in found.messages] == ["user", "assistant", "tool", "assistant"]
    assert found.messages[1].calls == [CALLED] and json.loads(found.tools) == TOOLS
    assert found.messages[2].content == "cold" and found.messages[2].turn["name"] == "weather"
    assert found.answer == "It is cold." and found.has_tools


@pytest.mark.parametrize("form", FORMS)
def test_a_template_with_tools_shows_them_and_the_calls_are_learned(form, qwen):
    assert writes_tools(qwen)
    conversation = to_conversation(FORMS[form], "here")
    row = tokenise(conversation, qwen)
    text = qwen.decode(row["input_ids"])
    assert '"description": "Tells it."' in text and "<tool_response>\ncold\n</tool_response>" in text
    assert learned_text(row, qwen) == [
        '<tool_call>{"name": "weather", "arguments": {"city": "Oslo"}}</tool_call><|im_end|>',
        "It is cold.<|im_end|>",
    ]


@pytest.mark.parametrize("tokenizer", ["chatml", "plain", "own template"])
def test_a_template_without_a_place_for_tools_gets_them_as_text(tokenizer, request):
    """Such templates leave calls and tools out without an error."""
    made = with_template(request.getfixturevalue("plain"), "Q: {query}\nA:") if tokenizer == "own template" else None
    made = made or request.getfixturevalue(tokenizer)
    assert not writes_tools(made)
    conversation = to_conversation(FORMS["openai"], "here")
    row = tokenise(conversation, made)
    text = made.decode(row["input_ids"])
    assert '<tools>\n{"type": "function", "function": {"name": "weather"' in text
    assert "<tool_response>\ncold\n</tool_response>" in text
    learned = learned_text(row, made)
    assert (
        learned[0].strip().startswith('<tool_call>\n{"name": "weather", "arguments": {"city": "Oslo"}}\n</tool_call>')
    )
    assert learned[1].strip().startswith("It is cold.") and len(learned) == 2
    prompt = prompt_of(conversation, made)  # answers are asked for in the same form
    assert row["input_ids"][: len(prompt.ids)] == prompt.ids
