"""Sentences that repeat a stranger's file: they are cut, and searched in a time with their length."""

import time

import pytest

from qweft.cli.terminal import LONGEST_SENTENCE, complain
from qweft.redaction import REMOVED, without_secrets

SECRET = "s3cret-of-mine-0123456789"


@pytest.mark.parametrize("before", [LONGEST_SENTENCE - len(SECRET) // 2, 100])
def test_a_long_sentence_is_cut_and_shows_no_part_of_a_credential(monkeypatch, capsys, before):
    monkeypatch.setenv("MY_TOKEN", SECRET)
    complain("a word ".ljust(before, "-")[: before - 1] + " " + SECRET + " " + "x" * 2_000_000)
    said = capsys.readouterr().err
    assert len(said) <= LONGEST_SENTENCE + 20 and said.endswith(" ...\n")
    assert "s3cret" not in said and (REMOVED in said) == (before == 100)


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
