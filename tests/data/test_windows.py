"""Plain texts longer than a row are split into several."""

from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import pre_tokenizers

from qweft.data.conversation import TEXT, Conversation, Message
from qweft.data.tokens import tokenise
from qweft.data.windows import windows
from tests.data.tiny_tokenizer import make_tokenizer


def make_prefixing_tokenizer():
    """A tokenizer that begins each text with a space, as SentencePiece's do: a piece has more tokens than in place."""
    tokenizer = make_tokenizer(None)
    tokenizer._tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    return tokenizer


PLAIN = make_tokenizer(None)
PREFIXING = make_prefixing_tokenizer()


def without_space(text):
    return text.replace(" ", "").replace("\n", "")


@settings(max_examples=200, deadline=None)
@given(
    content=st.text(st.sampled_from("ab 你好😀ä\n."), min_size=1, max_size=200),
    limit=st.integers(4, 40),
    tokenizer=st.sampled_from([PLAIN, PREFIXING]),
)
def test_windows_make_up_the_text_and_none_is_too_long(content, limit, tokenizer):
    if tokenizer is PREFIXING:
        limit += 1  # a character of four bytes and the space
    pieces = list(windows(Conversation((Message(TEXT, content),), "book"), tokenizer, limit))
    assert without_space("".join(piece.answer for piece in pieces)) == without_space(content)
    for piece in pieces:
        assert piece.group == "book"
        assert piece.is_text
        row = tokenise(piece, tokenizer)
        assert len(row["input_ids"]) <= limit
        assert row["labels"] == row["input_ids"]
