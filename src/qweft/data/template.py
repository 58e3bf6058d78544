"""From messages to the text a model is shown: its own chat template, or a plain one where it has none."""

from collections.abc import Sequence
from typing import Any

from jinja2 import TemplateError

from qweft.data.conversation import Message
from qweft.data.query_template import opens_with_start
from qweft.errors import QweftError

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
