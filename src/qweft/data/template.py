"""Rendering of messages as text: with the model's chat template, the user's template, or a plain one."""

import copy
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from qweft.core.errors import QweftError
from qweft.data.conversation import CALL, Conversation, Message
from qweft.data.turns import read_tools, read_turns

QUERY = "{query}"
DAY = (
    "%d=26 %-d=26 %m=07 %-m=7 %b=Jul %B=July %Y=2024 %y=24 %a=Fri %A=Friday %e=26 %j=208 %F=2024-07-26 %H=12 %I=12 "
    "%M=00 %S=00 %p=PM"
)
"""The day that Llama 3.2's template falls back on, in the forms in which templates write the present one."""
ONE_DAY = (
    "{% macro strftime_now(format) %}{{ format"
    + "".join(".replace('{}', '{}')".format(*form.split("=")) for form in DAY.split())
    + " }}{% endmacro %}"
)
"""Stands before templates, as some write the present day: rows would be others tomorrow, and no run could go on."""
# The space belongs to the answer's first word, not to "Assistant:". Byte-pair tokens start with their space, so the
# prompt ends in the same token in training and in generation.
PLAIN_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'system' %}{{ message['content'] + '\n' }}"
    "{% elif message['role'] == 'assistant' %}{{ 'Assistant: ' + message['content'] + (eos_token or '') + '\n' }}"
    "{% else %}{{ 'User: ' + message['content'] + '\n' }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)
"""Chat template for a tokenizer without one: "User: ...\\nAssistant: ...", each answer followed by the end token."""


def check_template(template: str) -> None:
    """Raise unless a template contains {query} once."""
    if template.count(QUERY) != 1:
        number = template.count(QUERY) or "no"
        raise QweftError(f"data.template {template!r}: it has {number} {QUERY}, and needs one in place of the question")


def with_template(tokenizer: Any, template: str | None) -> Any:
    """Return a copy of a tokenizer whose chat template puts questions at a text's {query}; without a text itself."""
    if template is None:
        return tokenizer
    check_template(template)
    before, after = template.split(QUERY)
    space = " " * (len(after) - len(after.rstrip(" ")))  # belongs to the answer, as in `PLAIN_TEMPLATE`
    before = before.removeprefix(_start(tokenizer))  # which stands once, whoever writes it
    before, after, space = map(_quoted, (before, after.rstrip(" "), space))
    made = copy.copy(tokenizer)
    made.chat_template = (
        f"{{{{ {_quoted(_start(tokenizer))} }}}}"
        "{% for message in messages %}"
        "{% if message['role'] == 'system' %}{{ message['content'] + '\n' }}"
        "{% elif message['role'] == 'user' %}"
        "{% if loop.previtem is defined and loop.previtem['role'] == 'user' %}"
        "{{ raise_exception('data.template puts an answer after each question, and two follow each other') }}"
        "{% endif %}"
        f"{{{{ {before} + message['content'] + {after} }}}}"
        f"{{% elif message['role'] == 'assistant' %}}{{{{ {space} + message['content'] + (eos_token or '') }}}}"
        "{% else %}{{ raise_exception('data.template has no place for the role ' + message['role']) }}{% endif %}"
        "{% endfor %}"
    )
    return made


def in_words(tokenizer: Any) -> Any:
    """Return a copy of a tokenizer that has the plain chat template if it has none, for programs that know only it."""
    made = copy.copy(tokenizer)
    made.chat_template = tokenizer.chat_template or f"{{{{ {_quoted(_start(tokenizer))} }}}}{PLAIN_TEMPLATE}"
    return made


def _start(tokenizer: Any) -> str:
    """Return the start token if the tokenizer puts it before a text."""
    is_put = tokenizer("").input_ids[:1] == [tokenizer.bos_token_id]
    return str(tokenizer.bos_token) if is_put else ""


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def render(
    messages: Sequence[Message], tokenizer: Any, answer_next: bool = False, tools: str = "", **options: Any
) -> str:
    """Return the text of a conversation, special tokens included; tokenise it with `add_special_tokens=False`.

    A space at a prompt's end is in training the answer's first, and goes. `options` are those of the chat template.
    """
    turns = [message.turn for message in messages]
    options |= {"tools": json.loads(tools) if tools else None, "add_generation_prompt": answer_next}
    made = in_words(tokenizer)
    try:
        options |= {"chat_template": ONE_DAY + made.get_chat_template(None, options["tools"]), "tokenize": False}
        text = str(made.apply_chat_template(turns, **options))
    except Exception as fault:
        roles = ", ".join(message.role for message in messages)[:200]
        raise QweftError(
            f"the chat template refuses roles {roles} ({str(fault)[:300] or type(fault).__name__}); change those rows"
        ) from fault
    _check_shown(messages, text)
    return text.rstrip(" ") if answer_next else text


def _check_shown(messages: Sequence[Message], text: str) -> None:
    """Raise if a message or call is not in a rendered text; white space and switches may differ."""
    written = _bare(text)
    for message in messages:
        said = message.content.rpartition("</think>")[2].strip()
        for shown in (said, *(call["name"] for call in message.calls)):
            # results may stand as JSON
            if not any(_bare(form) in written for form in (shown, _quoted(shown)[1:-1])):
                raise QweftError(
                    f"the chat template leaves out what the {message.role} says ({shown[:40]!r}); give another one by "
                    "data.template"
                )


def _bare(text: str) -> str:
    """Return a text without white space, and without the switches that SmolLM3's and Nemotron's templates take out."""
    return "".join(text.replace("/no_think", "").replace("/think", "").split())


def for_others(tokenizer: Any) -> Any:
    """Return a copy of a tokenizer whose `apply_chat_template` reads and writes requests as rows of data."""
    made = in_words(tokenizer)

    def apply_chat_template(conversation: Sequence[Any], **options: Any) -> Any:
        where = "the request"
        turns = read_turns(conversation, where, may_be_empty=True)
        # an answer that is sent back has the white space that the template writes around it
        turns = [turn._replace(content=turn.content.strip()) if turn.role == "assistant" else turn for turn in turns]
        asked = Conversation(tuple(turns), "", read_tools(options.pop("tools", None), where), where)
        formed = in_its_form(asked, tokenizer)
        answer_next, tensors = options.pop("add_generation_prompt", False), options.get("return_tensors")
        text = render(formed.messages, tokenizer, answer_next, formed.tools, **options)
        return made(text, add_special_tokens=False, return_tensors=tensors)

    made.apply_chat_template = apply_chat_template
    made.model_input_names = ["input_ids", "attention_mask"]  # no model here takes token_type_ids from outside
    return made


TOOLS = "You may call these tools:\n<tools>\n{}\n</tools>\nA call looks like this: {}"
RESULT = "<tool_response>\n{}\n</tool_response>"
"""Plain form of what a tool returned, as in Hermes and Qwen."""
CALLED = {"name": "name_of_probe", "arguments": {"place": "argument-of-probe"}}
PROBE = (
    Message("user", "question-of-probe"),
    Message("assistant", "", json.dumps({"tool_calls": [{"type": "function", "id": "abcDEF123", "function": CALLED}]})),
    Message("tool", "result-of-probe", '{"name": "name_of_probe", "tool_call_id": "abcDEF123"}'),
    Message("assistant", "answer-of-probe"),
)
PROBE_TOOLS = (
    '[{"type": "function", "function": {"name": "name_of_probe", "description": "described-for-probe", "parameters": '
    '{"type": "object", "properties": {"place": {"type": "string", "description": "a place"}}}}}]'
)


def shows_tools(tokenizer: Any) -> bool:
    """Return whether the chat template writes tools, calls and results: many leave them out without an error."""
    try:
        text = render(PROBE, tokenizer, tools=PROBE_TOOLS)
    except QweftError:
        return False
    return all(f"{what}-probe" in text for what in ("described-for", "argument-of", "result-of", "answer-of"))


def in_its_form(conversation: Conversation, tokenizer: Any) -> Conversation:
    """Return a conversation whose tools, calls and results the chat template writes: if need be as text."""
    if not conversation.has_tools or shows_tools(tokenizer):
        return conversation
    return replace(conversation, messages=tuple(_in_plain_form(conversation)), tools="")


def _in_plain_form(conversation: Conversation) -> list[Message]:
    plain: list[Message] = []
    after_result = False
    for message in conversation.messages:
        if message.role != "tool":
            plain.append(Message(message.role, message.said))
        elif after_result:  # results of several calls stand in one turn, as templates take no two of a role in a row
            plain[-1] = Message("user", f"{plain[-1].content}\n{RESULT.format(message.content)}")
        else:
            plain.append(Message("user", RESULT.format(message.content)))
        after_result = message.role == "tool"
    if conversation.tools:
        tools = "\n".join(json.dumps(tool, ensure_ascii=False) for tool in json.loads(conversation.tools))
        about = TOOLS.format(tools, CALL.format('{"name": ..., "arguments": ...}'))
        plain[0] = Message(plain[0].role, f"{about}\n\n{plain[0].content}")
    return plain
