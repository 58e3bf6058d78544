"""Long plain texts in pieces."""

from hypothesis import given, settings
from hypothesis import strategies as st

from qweft.data.conversation import TEXT, Conversation, Message
from qweft.data.tokens import tokenise, windows
from tests.data.tiny_tokenizer import make_tokenizer

TOKENIZER = make_tokenizer(None)


def text(content):
    return Conversation((Message(TEXT, content),), "book")


@settings(max_examples=200, deadline=None)
@given(content=st.text(st.sampled_from("ab 你好😀ä\n."), min_size=1, max_size=200), limit=st.integers(4, 40))
def test_pieces_make_up_the_text_and_none_is_too_long(content, limit):
    pieces = list(windows(text(content), TOKENIZER, limit))
    kept = "".join(piece.answer for piece in pieces)
    assert kept.replace(" ", "").replace("\n", "") == content.replace(" ", "").replace("\n", "")
    for piece in pieces:
        assert piece.group == "book" and piece.is_text
        row = tokenise(piece, TOKENIZER)
        assert len(row["input_ids"]) <= limit
        assert row["labels"] == row["input_ids"]
