"""Text is told as soon as it is whole, and never half a character."""

import pytest
from tokenizers import Tokenizer, decoders, models
from transformers import PreTrainedTokenizerFast

from qweft.chat.answering import HALF, Pieces
from tests.data.tiny_tokenizer import CHATML, make_tokenizer

TEXTS = ["hello there", "你好，世界！", "äöü 😀 and more", " 一 \n\n  two  "]


@pytest.fixture(scope="module")
def byte_level():
    return make_tokenizer(CHATML)


@pytest.fixture(scope="module")
def by_byte():
    """Decodes a run of byte tokens whole or not at all, as sentencepiece models with byte fallback do."""
    vocabulary = {"<unk>": 0, "a": 1, **{f"<0x{byte:02X}>": byte + 2 for byte in range(256)}}
    raw = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>", byte_fallback=True))
    raw.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    return PreTrainedTokenizerFast(tokenizer_object=raw, unk_token="<unk>")


def pieces_of(tokenizer, ids):
    taken = Pieces(tokenizer)
    return [*(taken.add(token) for token in ids), taken.end()], taken.text


@pytest.mark.parametrize("text", TEXTS)
def test_pieces_are_whole_and_make_up_the_text(byte_level, text):
    ids = byte_level(text, add_special_tokens=False).input_ids
    pieces, told = pieces_of(byte_level, ids)
    assert not [piece for piece in pieces if HALF in piece]
    assert "".join(pieces) == text.lstrip() and told == text.strip()
    assert pieces[-1] == "" or text.endswith(" ")


def test_a_character_of_several_tokens_comes_with_its_last(byte_level):
    ids = byte_level("世", add_special_tokens=False).input_ids
    assert len(ids) == 3
    assert pieces_of(byte_level, ids)[0] == ["", "", "世", ""]


def test_special_tokens_are_not_told(byte_level):
    ids = byte_level("hi<|im_start|>you", add_special_tokens=False).input_ids
    assert pieces_of(byte_level, ids)[1] == "hiyou"


def test_bytes_that_never_become_a_character_are_told_at_the_end(byte_level):
    ids = byte_level("a世", add_special_tokens=False).input_ids[:-1]
    pieces, told = pieces_of(byte_level, ids)
    assert pieces[0] == "a" and pieces[1] == "" and HALF in pieces[-1] and told.startswith("a")


def test_what_was_told_stays_told(by_byte):
    ids = [byte + 2 for byte in "你好".encode()]
    pieces, told = pieces_of(by_byte, ids)
    assert pieces == ["", "", "你", "", "", "好", ""] and told == "你好"
    pieces, told = pieces_of(by_byte, ids[:5])  # the decoder now makes five half characters of it
    assert told == "你" == "".join(pieces)
