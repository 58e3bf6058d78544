"""Requests to a server, read and rendered as rows of data are, so that a model is asked as it was trained."""

from collections.abc import Sequence
from typing import Any

from qweft.data.conversation import Conversation, Message
from qweft.data.messages import read_messages
from qweft.data.template import render, with_plain_template
from qweft.data.tool_calls import read_tools
from qweft.data.tool_text import adapt_to_template

WHERE = "the request"
"""The place that errors name."""


def tokenizer_for_requests(tokenizer: Any) -> Any:
    """Return a copy of a tokenizer whose `apply_chat_template` reads and writes requests as rows of data."""
    served = with_plain_template(tokenizer)

    def apply_chat_template(conversation: Sequence[Any], **options: Any) -> Any:
        request = _read_request(conversation, options.pop("tools", None))
        adapted = adapt_to_template(request, tokenizer)
        answer_next = options.pop("add_generation_prompt", False)
        tensors = options.get("return_tensors")
        text = render(adapted.messages, tokenizer, answer_next, adapted.tools, **options)
        return served(text, add_special_tokens=False, return_tensors=tensors)

    served.apply_chat_template = apply_chat_template
    served.model_input_names = ["input_ids", "attention_mask"]  # no model here takes token_type_ids from outside
    return served


def _read_request(turns: Sequence[Any], tools: Any) -> Conversation:
    """Return the messages and tools of a request."""
    messages: list[Message] = []
    for message in read_messages(turns, WHERE, may_be_empty=True):
        if message.role == "assistant":
            # an answer that is sent back has the white space that the template writes around it
            message = message._replace(content=message.content.strip())
        messages.append(message)
    return Conversation(tuple(messages), "", read_tools(tools, WHERE), WHERE)
