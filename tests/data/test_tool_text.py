"""Tool calls: read from every form, shown by the chat template or written as text, learned with the answers."""

import json

import pytest

from qweft.data.convert import to_conversation
from qweft.data.template import with_template
from qweft.data.tokens import tokenise
from qweft.data.tool_text import writes_tools
from qweft.evaluation.generation import prompt_of
from tests.data.tiny_tokenizer import CHATML, learned_texts, make_tokenizer

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
ARGUMENTS = {"city": "Oslo"}
CALL = {"name": "weather", "arguments": ARGUMENTS}
QUESTION = {"role": "user", "content": "How is it?"}
ANSWER = {"role": "assistant", "content": "It is cold."}


def turns_with_call(arguments, content=None):
    """A conversation with one call in OpenAI's form."""
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": arguments}}
    return [
        QUESTION,
        {"role": "assistant", "content": content, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "cold"},
        ANSWER,
    ]


OBJECTS = turns_with_call(ARGUMENTS)
SHAREGPT = [
    {"from": "human", "value": "How is it?"},
    {"from": "function_call", "value": json.dumps(CALL)},
    {"from": "observation", "value": "cold"},
    {"from": "gpt", "value": "It is cold."},
]
OLDER_OPENAI = [
    QUESTION,
    {"role": "assistant", "content": None, "function_call": {"name": "weather", "arguments": '{"city": "Oslo"}'}},
    {"role": "function", "name": "weather", "content": "cold"},
    ANSWER,
]
FORMS = {
    "openai": {"messages": turns_with_call('{"city": "Oslo"}'), "tools": TOOLS},
    "objects": {"messages": turns_with_call(ARGUMENTS, content=""), "tools": json.dumps(TOOLS)},
    "sharegpt": {"conversations": SHAREGPT, "tools": json.dumps([FUNCTION])},
    "older openai": {"messages": OLDER_OPENAI, "tools": [FUNCTION]},
    "prompt": {"prompt": OBJECTS[:1], "completion": OBJECTS[1:], "tools": TOOLS},
    "prompt as text": {"prompt": "How is it?", "completion": OBJECTS[1:], "tools": TOOLS},
}


@pytest.fixture(params=FORMS)
def conversation(request):
    return to_conversation(FORMS[request.param], "here")


def test_every_form_of_a_call_gives_the_same_messages(conversation):
    assert [message.role for message in conversation.messages] == ["user", "assistant", "tool", "assistant"]
    assert conversation.messages[1].calls == [CALL]
    assert conversation.answer == "It is cold."


def test_every_form_of_a_result_has_the_name_of_its_call(conversation):
    result = conversation.messages[2]
    assert result.content == "cold"
    assert result.turn["name"] == "weather"


def test_results_without_ids_belong_to_calls_in_their_order():
    calls = [{"function": {"name": name, "arguments": {}}} for name in ("weather", "time")]
    turns = [
        QUESTION,
        {"role": "assistant", "tool_calls": calls},
        {"role": "tool", "content": "cold"},
        {"role": "tool", "content": "noon"},
        ANSWER,
    ]
    messages = to_conversation({"messages": turns}, "here").messages
    assert [message.turn["name"] for message in messages[2:4]] == ["weather", "time"]


def test_every_form_of_tools_gives_the_same_list(conversation):
    assert json.loads(conversation.tools) == TOOLS
    assert conversation.has_tools


@pytest.fixture(scope="module")
def qwen():
    return make_tokenizer(QWEN)


def test_a_template_with_tools_is_recognised(qwen):
    assert writes_tools(qwen)


def test_a_template_with_tools_shows_them(conversation, qwen):
    text = qwen.decode(tokenise(conversation, qwen)["input_ids"])
    assert '"description": "Tells it."' in text
    assert "<tool_response>\ncold\n</tool_response>" in text


def test_calls_are_learned_in_the_templates_form(conversation, qwen):
    assert learned_texts(tokenise(conversation, qwen), qwen) == [
        '<tool_call>{"name": "weather", "arguments": {"city": "Oslo"}}</tool_call><|im_end|>',
        "It is cold.<|im_end|>",
    ]


WITHOUT_TOOLS = {
    "chat template": make_tokenizer(CHATML),
    "no chat template": make_tokenizer(None),
    "user's template": with_template(make_tokenizer(None), "Q: {query}\nA:"),
}
"""Such templates leave calls and tools out without an error."""


@pytest.fixture(params=WITHOUT_TOOLS)
def tokenizer(request):
    return WITHOUT_TOOLS[request.param]


OPENAI = to_conversation(FORMS["openai"], "here")


def test_a_template_without_a_place_for_tools_gets_them_as_text(tokenizer):
    assert not writes_tools(tokenizer)
    text = tokenizer.decode(tokenise(OPENAI, tokenizer)["input_ids"])
    assert '<tools>\n{"type": "function", "function": {"name": "weather"' in text
    assert "<tool_response>\ncold\n</tool_response>" in text


def test_calls_as_text_are_learned(tokenizer):
    call, answer = learned_texts(tokenise(OPENAI, tokenizer), tokenizer)
    expected = '<tool_call>\n{"name": "weather", "arguments": {"city": "Oslo"}}\n</tool_call>'
    assert call.strip().startswith(expected)
    assert answer.strip().startswith("It is cold.")


def test_answers_are_asked_for_with_tools_in_the_same_form(tokenizer):
    prompt = prompt_of(OPENAI, tokenizer)
    assert tokenise(OPENAI, tokenizer)["input_ids"][: len(prompt.ids)] == prompt.ids
