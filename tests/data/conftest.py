"""Tokenizers and conversations for the tests of the data."""

import pytest

from qweft.data.conversation import Conversation, Message
from tests.data.tiny_tokenizer import CHATML, make_tokenizer


@pytest.fixture(scope="session")
def chatml():
    return make_tokenizer(CHATML)


@pytest.fixture(scope="session")
def plain():
    return make_tokenizer(None)


@pytest.fixture(scope="session")
def tokenizer_with():
    return make_tokenizer


@pytest.fixture(scope="session")
def talk():
    def build(*texts, system=None, group="g"):
        turns = [Message("assistant" if number % 2 else "user", text) for number, text in enumerate(texts)]
        return Conversation((*([Message("system", system)] if system else []), *turns), group)

    return build
