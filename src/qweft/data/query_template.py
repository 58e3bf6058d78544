"""A template of the user's own for questions, in place of the model's chat template."""

import copy
import json
from typing import Any

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
