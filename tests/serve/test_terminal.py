"""`qweft chat` with a pipe, and at a terminal."""

import io
import json
import os
import pty
import select
import signal
import subprocess
import sys
import time

import pytest

from qweft.cli.main import main
from qweft.serve.chat import Answer
from qweft.serve.terminal import Screen as Shown
from qweft.serve.terminal import converse


@pytest.fixture
def say(monkeypatch, capsys, hybrid):
    """Puts lines into the pipe and returns what comes out: status, standard output, standard error."""

    def say(*options, lines=()):
        text = lines if isinstance(lines, bytes) else "".join(f"{line}\n" for line in lines).encode()
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))
        status = main(["chat", str(hybrid), "--max-new-tokens", "6", *options])
        return (status, *capsys.readouterr())

    return say


def test_json_has_both_answers_and_tokens_a_second(say, hybrid):
    status, out, err = say("--beside", "base", "--json", lines=["How many?", "/reset", " /reset"])
    first, second = map(json.loads, out.splitlines())
    assert status == 0 and err == "1 turn forgotten\n"
    assert first["question"] == "How many?" and second["question"] == "/reset"
    assert list(first["answers"]) == ["qtha-0", "base"]
    for answer in first["answers"].values():
        assert answer["tokens"] == 6 and answer["end"] == "max_new_tokens" and answer["left_out"] == 0
        assert 6 / answer["tokens_per_second"] == pytest.approx(answer["seconds"])


@pytest.mark.parametrize(
    ("options", "lines", "told"),
    [
        ((), ["/nonsense"], "/nonsense"),
        ((), ["/save x.txt"], ".jsonl"),
        ((), ["/save x.jsonl"], "nothing was said yet"),
        ((), b"\xff\xfe\n", "UTF-8"),
        (("--max-new-tokens", "0"), [], "--max-new-tokens"),
        (("--temperature", "-1"), [], "--temperature"),
        (("--model.device", "meta"), [], "--model.device meta"),
        (("--beside", "nowhere"), [], "nowhere"),
    ],
)
def test_what_is_wrong_is_one_sentence(say, options, lines, told):
    status, out, err = say(*options, lines=lines)
    assert status == 2 and out == "" and told in err and err.count("\n") == 1


class Screen:
    """A program at a terminal of its own."""

    def __init__(self, *words):
        self.inner, outer = pty.openpty()
        size = {"TERM": "xterm", "COLUMNS": "100", "LINES": "30"}
        self.process = subprocess.Popen(
            words, stdin=outer, stdout=outer, stderr=outer, start_new_session=True, env=os.environ | size
        )
        os.close(outer)
        self.seen = ""

    def until(self, text, seconds=600):
        """Read until something is seen, and forget what was before it."""
        end = time.monotonic() + seconds
        while text not in self.seen:
            assert time.monotonic() < end, self.seen
            if select.select([self.inner], [], [], 1)[0]:
                self.seen += os.read(self.inner, 4096).decode(errors="replace")
        before, _, self.seen = self.seen.partition(text)
        return before

    def type(self, text):
        os.write(self.inner, text.encode())


def test_at_a_terminal_ctrl_c_ends_the_answers_and_ctrl_d_the_program(hybrid):
    slow = (
        "import time, sys\nfrom qweft.serve.chat import Pieces\nfrom qweft.cli.main import main\n"
        "put = Pieces.put\n"
        "Pieces.put = lambda *a: (time.sleep(0.3), put(*a))[1]\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    screen = Screen(sys.executable, "-c", slow, "chat", str(hybrid), "--beside", "base", "--max-new-tokens", "40")
    try:
        screen.until("qtha-0 beside base")  # a library's warnings before it may hold what a prompt is
        screen.until("> ")
        screen.type("How many?\n")
        screen.until("qtha-0: ")
        time.sleep(2)  # some tokens
        os.kill(screen.process.pid, signal.SIGINT)
        assert screen.until("> ").count("; stopped") >= 2  # of both answers
        screen.type("/nonsense\n")
        screen.until("there is no /nonsense")
        screen.until("> ")
        screen.type("\x04")
        assert screen.process.wait(300) == 0
    finally:
        screen.process.kill()
        os.close(screen.inner)


class Chat:
    """Stands in for a chat that is stopped before its model answers."""

    names, turns = ("one", "two"), ()

    def answer(self, name, question, show, may_stop):
        raise KeyboardInterrupt

    def take(self, question, answers):
        self.taken = question, answers


def test_ctrl_c_before_an_answer_begins_does_not_end_the_chat(capsys):
    talk = Chat()
    converse(talk, Shown(at_terminal=True), ["How?"])
    assert talk.taken == ("How?", [Answer(), Answer()])
    with pytest.raises(KeyboardInterrupt):
        converse(talk, Shown(), ["How?"])


def test_a_terminal_shows_names_notes_and_no_command_that_a_model_wrote(capsys):
    given = {
        "qtha": Answer("[red]\x1b]0;title\x07 \x9b2J ok\r", 6, 2.0, "end token"),
        "base": Answer("[/nothing] :smile:", 6, 2.0, "max_new_tokens", left_out=2),
    }

    def ask(name, show):
        show(given[name].text[:3])
        show(given[name].text[3:])
        return given[name]

    Shown(at_terminal=True).show("?", list(given), ask)
    assert " ".join(capsys.readouterr().out.split()) == (
        "qtha: [red]]0;title 2J ok 6 tokens, 3.0 a second base: [/nothing] :smile: 6 tokens, 3.0 a second; cut by "
        "--max-new-tokens base was not shown the oldest 2 turns, for room"
    )
