"""Rendering of messages as text: with the model's chat template, the user's own template, or a plain one."""

import copy
import json
from collections.abc import Sequence
from typing import Any

from qweft.core.errors import QweftError
from qweft.data.conversation import Message

QUERY = "{query}"
DAY = (
    "%d=26 %-d=26 %m=07 %-m=7 %b=Jul %B=July %Y=2024 %y=24 %a=Fri %A=Friday %e=26 %j=208 %F=2024-07-26 %H=12 %I=12 "
    "%M=00 %S=00 %p=PM"
)
"""The day that Llama 3.2's template falls back on, in the forms in which templates write the present one."""
REPLACEMENTS = "".join(".replace('{}', '{}')".format(*form.split("=")) for form in DAY.split())
ONE_DAY = f"{{% macro strftime_now(format) %}}{{{{ format{REPLACEMENTS} }}}}{{% endmacro %}}"
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
    count = template.count(QUERY)
    if count != 1:
        raise QweftError(
            f"data.template {template!r}: it has {count or 'no'} {QUERY}, and needs one in place of the question"
        )


def with_template(tokenizer: Any, template: str | None) -> Any:
    """Return a copy of a tokenizer whose chat template puts questions at a text's {query}; without a text itself."""
    if template is None:
        return tokenizer
    check_template(template)
    start = _start_token(tokenizer)
    before, after = template.split(QUERY)
    before = before.removeprefix(start)  # it stands once, whoever writes it
    spaces = " " * (len(after) - len(after.rstrip(" ")))  # they belong to the answer, as in `PLAIN_TEMPLATE`
    question = f"{_quote(before)} + message['content'] + {_quote(after.rstrip(' '))}"
    answer = f"{_quote(spaces)} + message['content'] + (eos_token or '')"
    templated = copy.copy(tokenizer)
    templated.chat_template = (
        f"{{{{ {_quote(start)} }}}}"
        "{% for message in messages %}"
        "{% if message['role'] == 'system' %}{{ message['content'] + '\n' }}"
        "{% elif message['role'] == 'user' %}"
        "{% if loop.previtem is defined and loop.previtem['role'] == 'user' %}"
        "{{ raise_exception('data.template puts an answer after each question, and two follow each other') }}"
        "{% endif %}"
        f"{{{{ {question} }}}}"
        f"{{% elif message['role'] == 'assistant' %}}{{{{ {answer} }}}}"
        "{% else %}{{ raise_exception('data.template has no place for the role ' + message['role']) }}{% endif %}"
        "{% endfor %}"
    )
    return templated


def with_plain_template(tokenizer: Any) -> Any:
    """Return a copy of a tokenizer that has the plain chat template if it has none."""
    templated = copy.copy(tokenizer)
    if not tokenizer.chat_template:
        templated.chat_template = f"{{{{ {_quote(_start_token(tokenizer))} }}}}{PLAIN_TEMPLATE}"
    return templated


def _start_token(tokenizer: Any) -> str:
    """Return the start token if the tokenizer puts it before a text."""
    if tokenizer("").input_ids[:1] == [tokenizer.bos_token_id]:
        return str(tokenizer.bos_token)
    return ""


def _quote(text: str) -> str:
    """Return a text as a string of Jinja."""
    return json.dumps(text, ensure_ascii=False)


def render(
    messages: Sequence[Message], tokenizer: Any, answer_next: bool = False, tools: str = "", **options: Any
) -> str:
    """Return the text of a conversation, special tokens included; tokenise it with `add_special_tokens=False`.

    A space at a prompt's end is in training the answer's first, and goes. `options` are those of the chat template.
    """
    turns = [message.turn for message in messages]
    functions = json.loads(tools) if tools else None
    templated = with_plain_template(tokenizer)
    try:
        template = ONE_DAY + templated.get_chat_template(None, functions)
        options |= {"chat_template": template, "tools": functions}
        options |= {"add_generation_prompt": answer_next, "tokenize": False}
        text = str(templated.apply_chat_template(turns, **options))
    except Exception as fault:  # a template may raise anything, and jinja its own errors
        roles = ", ".join(message.role for message in messages)[:200]
        raise QweftError(
            f"the chat template refuses roles {roles} ({str(fault)[:300] or type(fault).__name__}); change those rows"
        ) from fault
    _check_complete(messages, text)
    return text.rstrip(" ") if answer_next else text


def _check_complete(messages: Sequence[Message], text: str) -> None:
    """Raise if a message or call is not in a rendered text; white space and switches may differ."""
    rendered = _squeeze(text)
    for message in messages:
        answer = message.content.rpartition("</think>")[2].strip()  # some templates take out earlier thoughts
        for expected in (answer, *(call["name"] for call in message.calls)):
            as_json = _quote(expected)[1:-1]  # results may stand so
            if _squeeze(expected) not in rendered and _squeeze(as_json) not in rendered:
                raise QweftError(
                    f"the chat template leaves out what the {message.role} says ({expected[:40]!r}); give another one "
                    "by data.template"
                )


def _squeeze(text: str) -> str:
    """Return a text without white space, and without the switches that SmolLM3's and Nemotron's templates take out."""
    return "".join(text.replace("/no_think", "").replace("/think", "").split())
