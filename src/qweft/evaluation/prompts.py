"""What a model is shown when it is asked to answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from qweft.data.conversation import Conversation, Message
from qweft.data.template import render


@dataclass(frozen=True)
class Prompt:
    """A conversation up to its last answer.

    Args:
        ids: Its tokens, as the chat template writes them.
        shown: The same for a reader, without the template's marks.
        reference: The answer on record.
        in_thought: Whether the template has opened a chain of thought already, as R1's do.
    """

    ids: list[int]
    shown: str
    reference: str
    in_thought: bool = False


def prompt_of(conversation: Conversation, tokenizer: Any) -> Prompt:
    """Return the prompt of a conversation; of a plain text the first half of its tokens, to be continued.

    Raises:
        QweftError: The chat template refuses the prompt.
    """
    if conversation.is_text:
        ids = tokenizer(conversation.answer).input_ids
        half = (len(ids) + 1) // 2
        shown, rest = (tokenizer.decode(part, skip_special_tokens=True) for part in (ids[:half], ids[half:]))
        return Prompt(ids[:half], shown, rest)
    text = render(conversation.prompt, tokenizer, answer_next=True)
    ids = tokenizer(text, add_special_tokens=False).input_ids
    return Prompt(ids, _shown(conversation.prompt), conversation.answer, text.rstrip().endswith("<think>"))


def _shown(prompt: Sequence[Message]) -> str:
    """A single question as it is, several turns with their roles."""
    if len(prompt) == 1:
        return prompt[0].content
    return "\n\n".join(f"{message.role}: {message.content}" for message in prompt)
