"""Rendering of messages as text: with the model's chat template, the user's template, or a plain one."""

import copy
import json
from collections.abc import Sequence
from typing import Any

from jinja2 import TemplateError

from qweft.data.conversation import Message
from qweft.errors import QweftError

QUERY = "{query}"


def check_template(template: str) -> None:
    """Check that a template contains {query} once.

    Raises:
        QweftError: It does not contain {query}, or more than once.
    """
    if template.count(QUERY) != 1:
        raise QweftError(
            f"data.template {template!r}: it has {template.count(QUERY) or 'no'} {QUERY}, and needs one, in the place "
            f"of the question, such as 'Question: {QUERY}\\nAnswer:'"
        )


def with_template(tokenizer: Any, template: str | None) -> Any:
    r"""Return a copy of a tokenizer with a template as its chat template; without a template the tokenizer itself.

    A dialogue is rendered as

        start + system + "\n" + before + question + after + answer + end + before + question + ...

    where before and after are the parts of the template around {query}. start is the tokenizer's start token, if the
    tokenizer adds one, and end is its end token. The answer follows the template directly.

    Args:
        tokenizer: A transformers tokenizer; it is not changed.
        template: Text with {query} in it; `None` means the tokenizer's own chat template.

    Raises:
        QweftError: The template does not contain {query} exactly once.
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
    """Return whether the tokenizer puts its start token before a text."""
    return bool(tokenizer("").input_ids[:1] == [tokenizer.bos_token_id])


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


def template_of(tokenizer: Any) -> str | None:
    """Return `PLAIN_TEMPLATE` for a tokenizer without a chat template; `None` means the tokenizer's own."""
    return None if getattr(tokenizer, "chat_template", None) else PLAIN_TEMPLATE


def render(messages: Sequence[Message], tokenizer: Any, answer_next: bool = False) -> str:
    """Return the text of a conversation, special tokens included; tokenise it with `add_special_tokens=False`.

    Args:
        messages: The turns.
        tokenizer: A transformers tokenizer.
        answer_next: Whether to end with the opening of an answer, as a prompt for generation.

    Raises:
        QweftError: The chat template rejects these messages. Some have no system role, some require strict turns.
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
    # A model's own template writes its start token. The plain one does not, as it cannot know whether there is one.
    start = getattr(tokenizer, "bos_token", None) if own and opens_with_start(tokenizer) else None
    return f"{start or ''}{text}"
