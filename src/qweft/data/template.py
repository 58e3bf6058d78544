"""From messages to text: the model's chat template, a plain one, or one of the user's own."""

import copy
import json
from collections.abc import Sequence
from typing import Any

from jinja2 import TemplateError

from qweft.data.conversation import Message
from qweft.errors import QweftError

QUERY = "{query}"


def check_template(template: str) -> None:
    """See that a template has one place for the question.

    Raises:
        QweftError: If it has none, or several.
    """
    if template.count(QUERY) != 1:
        raise QweftError(
            f"data.template {template!r}: it has {template.count(QUERY) or 'no'} {QUERY}, and needs one, in the place "
            f"of the question, such as 'Question: {QUERY}\\nAnswer:'"
        )


def with_template(tokenizer: Any, template: str | None) -> Any:
    r"""The tokenizer with a template in place of its own chat template; the very same tokenizer where there is none.

    A dialogue reads

        start + system + "\n" + before + question + after + answer + end + before + question + ...

    where before and after stand around {query} in the template, start is the tokenizer's start token where it puts
    one, and end its end token. Nothing stands between a question's text and its answer.

    Args:
        tokenizer: A transformers tokenizer; it is left as it is.
        template: A text with {query} in it; none leaves the tokenizer's own chat template.

    Raises:
        QweftError: If the template has not one place for the question.
    """
    if template is None:
        return tokenizer
    check_template(template)
    before, after = (json.dumps(part, ensure_ascii=False) for part in template.split(QUERY))
    start = tokenizer.bos_token if opens_with_start(tokenizer) else ""
    made = copy.copy(tokenizer)
    made.chat_template = (
        f"{{{{ {json.dumps(start, ensure_ascii=False)} }}}}"
        "{% for message in messages %}"
        "{% if message['role'] == 'system' %}{{ message['content'] + '\n' }}"
        "{% elif message['role'] == 'user' %}"
        "{% if loop.previtem is defined and loop.previtem['role'] == 'user' %}"
        "{{ raise_exception('data.template puts an answer after each question, and two follow each other') }}"
        "{% endif %}"
        f"{{{{ {before} + message['content'] + {after} }}}}"
        "{% elif message['role'] == 'assistant' %}{{ message['content'] + (eos_token or '') }}"
        "{% else %}{{ raise_exception('data.template has no place for the role ' + message['role']) }}{% endif %}"
        "{% endfor %}"
    )
    return made


def opens_with_start(tokenizer: Any) -> bool:
    """Whether the tokenizer puts its start token before a text."""
    return bool(tokenizer("").input_ids[:1] == [tokenizer.bos_token_id])


# The space stands before the answer's first word, not after "Assistant:": byte-pair tokens carry their space in front,
# and so the prompt of training and the prompt of generation end in the same token.
PLAIN_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'system' %}{{ message['content'] + '\n' }}"
    "{% elif message['role'] == 'assistant' %}{{ 'Assistant: ' + message['content'] + (eos_token or '') + '\n' }}"
    "{% else %}{{ 'User: ' + message['content'] + '\n' }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)
"""Used for a tokenizer without a chat template: "User: ...\\nAssistant: ...", each answer closed by the end token."""


def template_of(tokenizer: Any) -> str | None:
    """Return the template to render with: none means the tokenizer's own, else the plain one."""
    return None if getattr(tokenizer, "chat_template", None) else PLAIN_TEMPLATE


def render(messages: Sequence[Message], tokenizer: Any, answer_next: bool = False) -> str:
    """Return the text of a conversation, special tokens included; tokenise it with `add_special_tokens=False`.

    Args:
        messages: The turns.
        tokenizer: A transformers tokenizer.
        answer_next: Whether to end with the opening of an answer, for a model that is to give one.

    Raises:
        QweftError: The chat template refuses these messages (some know no system role, some want strict turns).
    """
    turns = [{"role": message.role, "content": message.content} for message in messages]
    own = template_of(tokenizer)
    try:
        text: str = tokenizer.apply_chat_template(
            turns, chat_template=own, tokenize=False, add_generation_prompt=answer_next
        )
    except TemplateError as fault:
        roles = ", ".join(message.role for message in messages)
        raise QweftError(
            f"the chat template refuses a conversation of roles {roles} ({fault}); "
            f"change those rows, for instance put the system text into the first user turn"
        ) from fault
    # A model's own template writes its start token itself; the plain one cannot know whether the tokenizer has one.
    start = getattr(tokenizer, "bos_token", None) if own and opens_with_start(tokenizer) else None
    return f"{start or ''}{text}"
