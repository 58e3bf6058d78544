"""Text that comes token by token, told as soon as it is whole."""

from typing import Any

HALF = "\ufffd"
"""What a decoder writes in the place of bytes that are no character, or not yet."""


class Pieces:
    """Takes tokens, gives text; the pieces joined are the answer.

    A token of a byte-level vocabulary may be a part of a character: a Chinese one has three bytes and often as many
    tokens. Such parts wait for the rest.

    Args:
        tokenizer: A transformers tokenizer.
    """

    def __init__(self, tokenizer: Any):
        self._tokenizer = tokenizer
        self._tokens: list[int] = []
        self._text = ""  # what was given, with the white space that an answer begins with

    @property
    def text(self) -> str:
        """All that was given, without outer white space."""
        return self._text.strip()

    def add(self, token: int) -> str:
        """The text that is whole with this token and was not before; often none."""
        self._tokens.append(token)
        return self._give(self._decoded().rstrip(HALF))

    def end(self) -> str:
        """What is left, bytes that never became a character included."""
        return self._give(self._decoded())

    def _decoded(self) -> str:
        # All of it each time: a token's text depends on those before it, and an answer is short.
        text: str = self._tokenizer.decode(self._tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text

    def _give(self, text: str) -> str:
        # Some decoders take characters back while the bytes after them are not whole; what was told stays told.
        if not text.startswith(self._text):
            return ""
        before = self._text
        self._text = text
        return text[len(before) :] if before.strip() else text.lstrip()
