"""Progress of long steps: nothing for a short one, and few lines through a pipe."""

import io
import re
import threading
from types import SimpleNamespace

import pytest

from qweft import text
from qweft.cli.main import main
from tests.tiny_folder import save_rows, save_tiny_model


class OneLine:
    """Stands in for the event that ends a step: each step says one line, however short it is."""

    def __init__(self):
        self.asked = 0

    def wait(self, seconds):
        self.asked += 1
        return self.asked > 1

    def set(self):
        pass


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


def test_lines_through_a_pipe_come_every_ten_seconds():
    assert text.QUIET_SECONDS >= 5 and text.PIPED_SECONDS >= 10


def test_another_process_of_a_training_says_nothing(monkeypatch, capsys):
    monkeypatch.setattr(text, "QUIET_SECONDS", 0.001)
    for launched in (False, True):  # RANK alone is somebody's variable
        monkeypatch.setenv("RANK", "8")
        if launched:
            monkeypatch.setenv("LOCAL_RANK", "8")
        with text.progress("loading"):
            text.time.sleep(0.05)
        assert (capsys.readouterr().err == "") == launched


def test_every_long_step_of_the_commands_is_said(tmp_path, monkeypatch, capsys):
    """As if every step were a long one: each step that may take long says its name."""
    model, rows = save_tiny_model(tmp_path / "model"), save_rows(tmp_path / "rows.jsonl")
    monkeypatch.setattr(text, "threading", SimpleNamespace(Event=OneLine, Thread=threading.Thread))
    adapter = "{preset: qtha, r: 2, width: 8, bond_dimension: 2, compress: basis, target_modules: [q_proj]}"
    data = ["--data.source", rows, "--data.validation_rows", "4", "--data.test_rows", "4"]
    words = ["train", "--model.name", model, *data, "--adapter", adapter, "--output", str(tmp_path / "run")]
    said = {}
    folder = str(tmp_path / "run" / "adapter")
    for name, command in {
        "train": [*words, "--training.max_steps", "1"],
        "evaluate": ["evaluate", folder, "--evaluation.answers", "1", "--evaluation.max_new_tokens", "2"],
        "export": ["export", folder, "--force", "--distill-steps", "1"],
        "inspect": ["inspect", folder],
    }.items():
        assert main(command) == 0
        said[name] = capsys.readouterr().err
    for name, steps in {
        "train": ["loading ", "reading the data", "finding the fixed bases", "evaluating"],
        "evaluate": ["loading ", "evaluating", "answering"],
        "export": ["making the LoRA: ", "distilling", "comparing the logits"],
        "inspect": ["running the text", "inspecting"],
    }.items():
        for step in steps:
            assert step in said[name], (name, step)
    numbers = re.search(r"([\d,]+) numbers of the adapter become a LoRA of rank 2 with 160\b", said["export"])
    assert numbers, said["export"]
