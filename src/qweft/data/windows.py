"""A long plain text as rows of a bounded length."""

from collections.abc import Iterator
from typing import Any

from qweft.data.conversation import TEXT, Conversation, Message
from qweft.data.tokens import check_offsets


def windows(conversation: Conversation, tokenizer: Any, max_length: int) -> Iterator[Conversation]:
    """Yield a conversation as it is, and a plain text in pieces of at most `max_length` tokens, none overlapping.

    A piece ends between two tokens, and never inside a character (of Chinese one may be several tokens). All pieces
    belong to the group of the whole, so that a split keeps them together.

    Args:
        conversation: Any.
        tokenizer: A fast transformers tokenizer.
        max_length: Tokens of a piece, special tokens included.
    """
    text = conversation.answer
    if not conversation.is_text or len(text) <= max_length // 5:  # a character is at most four tokens, its bytes
        yield conversation
        return
    check_offsets(tokenizer)
    tokens = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    starts = [start for start, _ in tokens["offset_mapping"]]
    room = max(1, max_length - tokenizer.num_special_tokens_to_add())
    first = 0
    while first < len(starts):
        last = min(first + room, len(starts))
        while last < len(starts) and last > first + 1 and starts[last] == starts[last - 1]:
            last -= 1
        end = starts[last] if last < len(starts) else len(text)
        piece = text[starts[first] : end]
        if piece.strip():
            yield Conversation((Message(TEXT, piece),), conversation.group)
        first = last
