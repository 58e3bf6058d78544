"""Tokens of conversations, made when a split needs them."""

from collections.abc import Iterable
from typing import Any

from qweft.data.config import DataConfig
from qweft.data.conversation import Conversation
from qweft.data.tokens import Encoded, fit, tokenise


class Encoder:
    """Encodes conversations as rows, each once."""

    def __init__(self, tokenizer: Any, config: DataConfig) -> None:
        self.tokenizer = tokenizer
        self._max_length = config.max_length
        self._overlong = config.overlong
        # by id, which is faster than a hash of all messages; the sources keep the conversations alive
        self._encoded: dict[int, Encoded] = {}

    def encode(self, conversation: Conversation) -> Encoded:
        """Return all tokens of a conversation."""
        key = id(conversation)
        if key not in self._encoded:
            self._encoded[key] = tokenise(conversation, self.tokenizer)
        return self._encoded[key]

    def row(self, conversation: Conversation) -> Encoded | None:
        """Return a conversation as a row; `None` where it is dropped as too long, or no learned token is left."""
        return fit(self.encode(conversation), self._max_length, self._overlong)

    def rows(self, conversations: Iterable[Conversation]) -> list[Encoded]:
        """Return the rows of conversations without those that are dropped."""
        rows = map(self.row, conversations)
        return [row for row in rows if row is not None]

    def is_usable(self, conversation: Conversation) -> bool:
        """Return whether a conversation is a row."""
        return self.row(conversation) is not None

    def is_cut(self, conversation: Conversation) -> bool:
        """Return whether a conversation has more tokens than a row."""
        return len(self.encode(conversation)["input_ids"]) > self._max_length

    def count_dropped(self, conversations: Iterable[Conversation]) -> int:
        """Return how many of the conversations that were encoded are no rows; others may be none, either."""
        dropped = 0
        for conversation in conversations:
            is_encoded = id(conversation) in self._encoded
            if is_encoded and not self.is_usable(conversation):
                dropped += 1
        return dropped
