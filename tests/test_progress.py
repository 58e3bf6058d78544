"""Progress of long steps: nothing for a short one, and few lines through a pipe."""

import io
import re

import pytest

from qweft import text


class Screen(io.StringIO):
    def isatty(self):
        return True


def test_a_short_step_says_nothing(capsys):
    with text.progress("loading", 3, "row") as tick:
        tick(3)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("screen", [io.StringIO, Screen])
def test_a_long_step_says_how_far_it_is(monkeypatch, screen):
    monkeypatch.setattr("sys.stderr", shown := screen())
    for name in ("QUIET_SECONDS", "PIPED_SECONDS", "REDRAWN_SECONDS"):
        monkeypatch.setattr(text, name, 0.01)
    waits = iter(range(4))
    for _ in text.with_progress(range(4), "working", "row"):
        end = shown.tell()
        while next(waits, None) is not None and shown.tell() == end:
            text.time.sleep(0.03)
        with text.progress("inside"):
            text.time.sleep(0.02)
    said = shown.getvalue()
    assert re.search(r"working: 1 of 4 rows, 0 s, about 0 s left", said) and "inside" not in said
    if screen is Screen:
        assert "\n" not in said and said.endswith("\r\x1b[K")
    else:
        assert "\r" not in said and said.endswith("\n")


def test_another_process_of_a_training_says_nothing(monkeypatch, capsys):
    monkeypatch.setattr(text, "QUIET_SECONDS", 0.001)
    for launched in (False, True):  # RANK alone is somebody's variable
        monkeypatch.setenv("RANK", "8")
        if launched:
            monkeypatch.setenv("LOCAL_RANK", "8")
        with text.progress("loading"):
            text.time.sleep(0.05)
        assert (capsys.readouterr().err == "") == launched
