"""Tokenizers for the tests of the data."""

import pytest

from tests.data.tiny_tokenizer import CHATML, make_tokenizer


@pytest.fixture(scope="session")
def chatml():
    return make_tokenizer(CHATML)


@pytest.fixture(scope="session")
def plain():
    """A tokenizer without a chat template."""
    return make_tokenizer(None)
