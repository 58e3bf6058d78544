"""Credentials are searched in a time with the length of the text."""

import time

import pytest

from qweft.redaction import REMOVED, without_secrets

SECRET = "s3cret-of-mine-0123456789"


@pytest.mark.parametrize(
    "unit",
    [
        "token" + " " * 198 + "!",
        "api key" + " " * 99 + ":" + " " * 99 + "bearer" + " " * 99 + "!",
        "hf_" + "a" * 300 + " ",
        "token '",
        "eyJaaaaaaaa.",
    ],
)
def test_the_search_for_credentials_takes_time_with_the_length_alone(unit):
    text = unit * (400_000 // len(unit))
    began = time.process_time()
    without_secrets(text)
    assert time.process_time() - began < 3  # 5 s and more before, with the same length of spaces
    assert without_secrets("token" + " " * 150 + SECRET) == "token" + " " * 150 + REMOVED
