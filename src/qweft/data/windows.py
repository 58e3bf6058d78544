"""Windows of plain texts that are longer than a row."""

from collections.abc import Iterator, Sequence
from typing import Any

from qweft.data.conversation import TEXT, Conversation, Message
from qweft.data.tokens import offset_tokens, text_tokens


def windows(conversation: Conversation, tokenizer: Any, max_length: int) -> Iterator[Conversation]:
    """Yield a plain text in pieces of at most `max_length` tokens, of one group; other rows unchanged."""
    text = conversation.answer if conversation.is_text else ""
    if len(text) <= max_length // 5:  # a character has at most four tokens, its bytes
        yield conversation
        return
    _, offsets = offset_tokens(text, tokenizer)
    starts = [start for start, _ in offsets]
    first = 0
    while first < len(starts):
        last, piece = _next_window(text, starts, first, tokenizer, max_length)
        if piece.strip():
            yield Conversation((Message(TEXT, piece),), conversation.group)
        first = last


def _next_window(text: str, starts: Sequence[int], first: int, tokenizer: Any, max_length: int) -> tuple[int, str]:
    """Return the number of the token after a window that begins at token `first`, and the window's text.

    `starts` are the first characters of all tokens. A window has one token at least, even if that is too long.
    """
    room = max(1, max_length - tokenizer.num_special_tokens_to_add())
    last = min(first + room, len(starts))
    while True:
        while last < len(starts) and last > first + 1 and starts[last] == starts[last - 1]:
            last -= 1  # not within a character, whose tokens begin together
        end = starts[last] if last < len(starts) else None
        piece = text[starts[first] : end]
        # SentencePiece begins each text with a space, and other tokens may stand at its end
        surplus = len(text_tokens(piece, tokenizer)) - max_length
        if surplus <= 0 or last == first + 1:
            return last, piece
        last = max(first + 1, last - surplus)
