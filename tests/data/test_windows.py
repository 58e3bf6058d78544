"""Long plain texts in pieces."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import normalizers, pre_tokenizers

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


@pytest.mark.parametrize("kind", ["Llama 2", "Mistral", "GPT-2 with add_prefix_space"])
def test_no_piece_is_too_long_where_each_text_begins_with_a_space(kind):
    """As many pieces end inside a text, each has a token that the text as a whole has not."""
    tokenizer = make_tokenizer(None)
    inner = tokenizer._tokenizer
    if kind == "Llama 2":
        inner.normalizer = normalizers.Prepend(" ")
    elif kind == "Mistral":
        inner.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Metaspace(" ", "always"), pre_tokenizers.ByteLevel(False, use_regex=False)]
        )
    else:
        inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    content = "How many apples are unbelievable123? " * 40
    pieces = list(windows(text(content), tokenizer, 16))
    assert "".join(piece.answer for piece in pieces) == content and len(pieces) > 20
    lengths = [len(tokenise(piece, tokenizer)["input_ids"]) for piece in pieces]
    assert max(lengths) == 16 and min(lengths[:-1]) > 12
