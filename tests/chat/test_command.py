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

from qweft.chat.dialogue import Dialogue, obey
from qweft.cli.main import main
from qweft.data.read import read_rows
from qweft.errors import QweftError


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
        assert 6 / answer["tokens_per_second"] == pytest.approx(answer["seconds"], abs=1e-3)  # as it is rounded


def test_each_voice_remembers_its_own_answers(say):
    def told(*options):
        out = say("--json", *options, lines=["How many?", "And now?"])[1]
        return [json.loads(line)["answers"]["qtha-0"]["text"] for line in out.splitlines()]

    assert told("--beside", "base") == told()


def test_save_writes_rows_that_training_reads(say, tmp_path):
    file = tmp_path / "said.jsonl"
    status, _, err = say(
        "--beside", "base", "--system", "be brief", lines=["How many?", f"/save {file}", "/quit", "lost"]
    )
    assert status == 0 and err == f"saved: {file}, 1 turn\n"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert [row["answered_by"] for row in rows] == ["qtha-0", "base"]
    assert [message["role"] for message in rows[0]["messages"]] == ["system", "user", "assistant"]
    assert len(list(read_rows(str(file)))) == 2


@pytest.mark.parametrize(
    ("options", "lines", "told"),
    [
        ((), ["/nonsense"], "there is no /nonsense; there are /reset, /system, /save, /help, /quit"),
        ((), ["/save x.txt"], "/save: expected the name of a file that ends in .jsonl after it, got x.txt"),
        ((), ["/save x.jsonl"], "/save: nothing was said yet"),
        ((), b"\xff\xfe\n", "standard input: a line is not UTF-8"),
        (("--max-new-tokens", "0"), [], "--max-new-tokens 0: an answer has at least 1 token"),
        (("--temperature", "-1"), [], "--temperature -1: give 0 (no draws) or more"),
        (("--top-p", "0"), [], "--top-p 0: a probability above 0 and at most 1"),
        (("--seed", "-1"), [], "--seed -1: give 0 or more"),
        (("--model.device", "meta"), [], "--model.device meta has shapes and no numbers"),
        (("--beside", "nowhere"), [], "--beside nowhere: no such folder"),
    ],
)
def test_what_is_wrong_is_one_sentence(say, options, lines, told):
    status, out, err = say(*options, lines=lines)
    assert status == 2 and out == "" and told in err and err.count("\n") == 1


def test_save_replaces_only_what_it_saved(tmp_path):
    file = tmp_path / "said.jsonl"
    dialogue, _ = obey(f"/save {file}", Dialogue().and_then("q\u2028r", ["a"]), ["base"])
    file.chmod(0o600)
    dialogue, _ = obey(f"/save {file}", dialogue.and_then("r", ["b"]), ["base"])
    assert len(json.loads(file.read_text())["messages"]) == 4 and file.stat().st_mode & 0o777 == 0o600
    file.write_text(text := file.read_text() + "mine")
    with pytest.raises(QweftError, match="exists"):
        obey(f"/save {file}", dialogue, ["base"])
    assert file.read_text() == text


def test_save_opens_a_thought_that_the_prompt_opened():
    """As with QwQ's template; training takes no row whose answer closes a thought alone."""
    dialogue = Dialogue().and_then("q", ["why\n</think>\n\na"]).and_then("r", ["<think>\nso\n</think>\n\nb"])
    said = [message["content"] for message in json.loads(dialogue.as_rows(["base"]))["messages"]]
    assert said == ["q", "<think>\nwhy\n</think>\n\na", "r", "<think>\nso\n</think>\n\nb"]


def test_commands():
    dialogue = Dialogue("old").and_then("q", ["a"])
    assert obey("/system new one", dialogue, ["a"]) == (
        Dialogue("new one", asked=1), "system message: new one; a new conversation begins, 1 turn forgotten"
    )  # fmt: skip
    assert obey("/system", dialogue, ["a"])[0] == Dialogue(asked=1)
    assert obey("/system old", dialogue, ["a"]) == (dialogue, "system message: old")
    assert obey("/reset", dialogue, ["a"])[0] == Dialogue("old", asked=1)
    assert obey("/quit", dialogue, ["a"])[0] is None
    assert "/save FILE" in obey("/help", dialogue, ["a"])[1]
    with pytest.raises(QweftError, match="begin a question that starts with / with a space"):
        obey("/etc/passwd", dialogue, ["a"])


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

    def interrupt(self, until, seconds=600):
        """Ctrl-C, again where readline was not yet listening: between its prompt and its wait it forgets one."""
        end = time.monotonic() + seconds
        while until not in self.seen:
            assert time.monotonic() < end, self.seen
            os.kill(self.process.pid, signal.SIGINT)
            while until not in self.seen and select.select([self.inner], [], [], 2)[0]:
                self.seen += os.read(self.inner, 4096).decode(errors="replace")
        self.seen = self.seen.partition(until)[2]


def test_at_a_terminal_ctrl_c_ends_the_answers_and_ctrl_d_the_program(hybrid):
    slow = (
        "import time, sys\nfrom qweft.chat import answering\nfrom qweft.cli.main import main\n"
        "read = answering.Answering._read\n"
        "answering.Answering._read = lambda *a: (time.sleep(0.3), read(*a))[1]\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    screen = Screen(sys.executable, "-c", slow, "chat", str(hybrid), "--beside", "base", "--max-new-tokens", "40")
    try:
        screen.until("qtha-0 beside base")  # a library's warnings before it may hold what a prompt is
        screen.until("> ")
        screen.type("How many?\n")
        screen.until("base")  # drawn above the columns with the first piece
        os.kill(screen.process.pid, signal.SIGINT)
        assert screen.until("> ").count("; stopped") >= 2  # of both answers
        screen.type("/nonsense\n")
        screen.until("there is no /nonsense")
        screen.until("> ")
        screen.interrupt(until="> ")
        screen.type("\x04")
        assert screen.process.wait(300) == 0
    finally:
        screen.process.kill()
        os.close(screen.inner)
