"""What a terminal shows: columns where there is room, names, notes, and no command that a model wrote."""

import io
import re

import pytest

from qweft.chat.answering import Answer
from qweft.chat.screens import Tail, Terminal, columns
from qweft.output import Console

LONG = "The cat sat down. " * 12


class Given:
    """Stands in for an answer that comes in two pieces."""

    def __init__(self, text, left_out=0, end="end token"):
        self.text, self.left_out, self.end, self.is_done = text, left_out, end, False

    def __iter__(self):
        yield self.text[:5]
        yield self.text[5:]
        self.is_done = True

    @property
    def answer(self):
        return Answer(self.text, (1,), (1,) * 6, 2.0, self.end, self.left_out)


def seen(width, *asked):
    console = Console(
        file=io.StringIO(), force_terminal=True, width=width, height=20, color_system=None, legacy_windows=False
    )
    Terminal(console).show("?", asked)
    return console.file.getvalue()


def test_two_columns_where_there_is_room():
    out = seen(90, ("qtha-0", Given("Meow, meow.")), ("base", Given("Woof.")))
    last = re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", out).rstrip().splitlines()[-3:]  # without moves of the cursor
    assert last[0].split() == ["qtha-0", "base"]
    assert last[1].split("  ")[0] == "Meow, meow." and last[1].rstrip().endswith("Woof.")
    assert last[2].split("  ")[0] == "6 tokens, 3.0 a second"


def test_one_below_the_other_where_there_is_not():
    out = seen(60, ("qtha-0", Given("Meow, meow.")), ("base", Given("Woof.", end="max_new_tokens")))
    assert [line.rstrip() for line in out.splitlines()] == [
        "qtha-0", "Meow, meow.", "6 tokens, 3.0 a second", "base", "Woof.",
        "6 tokens, 3.0 a second; cut by --max-new-tokens",
    ]  # fmt: skip


def test_what_was_left_out_is_told():
    assert "base was not shown everything: the oldest 2 turns were left out" in seen(
        90, ("a", Given("Meow, meow.")), ("base", Given("Meow, meow.", left_out=2))
    )


def test_while_it_grows_the_end_of_a_long_answer_is_seen():
    console = Console(file=io.StringIO(), width=80, height=6)
    console.print(Tail(columns([("a", Given("")), ("b", Given(""))], [LONG + "the end", ""])))
    out = console.file.getvalue()
    assert len(out.splitlines()) <= 6 and "the end" in out


@pytest.mark.parametrize("width", [60, 100])
def test_brackets_are_brackets_and_nothing_commands_the_terminal(width):
    out = seen(width, ("a", Given("[red]\x1b]0;title\x07 \x9b2J ok\r")), ("b", Given("[/nothing] :smile:")))
    assert "[red]]0;title 2J ok" in out and "[/nothing] :smile:" in out
    assert "\x1b]0" not in out and "\x07" not in out and "\x9b" not in out
