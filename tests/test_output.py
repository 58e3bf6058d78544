"""Names, data and messages never control the terminal, whatever prints them."""

import io
import json
import logging
import os
import re
import subprocess
import sys

import pytest
from rich.console import Console as RichConsole
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from qweft.cli.main import COMMANDS, main
from qweft.core.output import Console
from qweft.core.streams import PlainStream, protect_streams
from qweft.core.text import CONTROLS, json_text, strip_controls

HOSTILE = "\x1b[2J\x1b]0;t\x07\x9b31m\x9d0;t\x9c\u202eevil\u2066\x08\x7f\r[red]:smile:"
LEFT = "[2J]0;t31m0;tevil[red]:smile:"


def test_only_controls_are_removed():
    assert strip_controls(HOSTILE) == LEFT
    assert strip_controls("你好\tä😀 שלום\n\ud800") == "你好\tä😀 שלום\n\ufffd"


@pytest.mark.parametrize("text", [HOSTILE, "\ud800", "\x7f\x85", "你好 😀\n"])
def test_json_keeps_every_character_and_writes_controls_as_escapes(text):
    written = json_text({text: text})
    assert json.loads(written) == {text: text} and not CONTROLS.search(written)
    assert ("你好" in written) == ("你好" in text)


def _table(text):
    table = Table(title=text)
    table.add_column(text)
    table.add_row(text)
    return table


@pytest.mark.parametrize("make", [str, Text, Panel, _table, lambda text: Panel(text, title=Text(text))])
def test_a_console_prints_colours_of_its_own_only(make):
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, color_system="standard", width=90)
    console.print(make(HOSTILE))
    console.print(Text("red", style="red"))
    out = stream.getvalue()
    assert "\x1b[31mred\x1b[0m" in out
    out = re.sub(r"\x1b\[[\d;]*m", "", out)
    assert LEFT in out and not CONTROLS.search(out)


def test_streams_hold_for_libraries(monkeypatch):
    streams = {name: io.StringIO() for name in ("stdout", "stderr")}
    for name, stream in streams.items():
        monkeypatch.setattr(sys, name, stream)
    protect_streams()
    protect_streams()
    assert isinstance(sys.stdout, PlainStream) and sys.stdout.stream is streams["stdout"]
    print(HOSTILE)
    sys.stderr.writelines([HOSTILE])
    handler = logging.StreamHandler()
    handler.emit(logging.LogRecord("a", logging.ERROR, "a", 1, HOSTILE, None, None))
    RichConsole(stderr=True).print(Text(HOSTILE))
    sys.__excepthook__(ValueError, ValueError(HOSTILE), None)
    for stream in streams.values():
        assert "evil" in stream.getvalue() and not CONTROLS.search(stream.getvalue())


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a system without /dev/full")
@pytest.mark.parametrize("command", [["presets"], ["jobs", "--json"], ["circuit", "--help"]])
def test_what_was_not_printed_is_told(command, tmp_path):
    env = os.environ | {"QWEFT_CACHE": str(tmp_path)}
    arguments = [sys.executable, "-m", "qweft", *command]
    with open("/dev/full", "w") as full:
        done = subprocess.run(arguments, stdout=full, stderr=subprocess.PIPE, text=True, env=env)
    assert done.returncode == 2 and "(No space left on device); make room" in done.stderr


@pytest.mark.skipif(os.name == "nt", reason="a shell of another kind")
@pytest.mark.parametrize("closed", [">&-", "2>&-"])
@pytest.mark.parametrize("command", ["presets", "--version"])
def test_a_closed_output_is_no_traceback(closed, command):
    done = subprocess.run(
        ["/bin/sh", "-c", f"{sys.executable} -m qweft {command} {closed}"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 and "Traceback" not in done.stderr


def test_bars_of_tqdm_stay_on_one_line():
    from tqdm import tqdm

    stream = io.StringIO()
    for _ in tqdm(range(2), desc=HOSTILE, file=PlainStream(stream, has_bars=True), mininterval=0):
        pass
    out = stream.getvalue()
    assert out.startswith("\r") and not CONTROLS.search(out.replace("\r", "")) and LEFT in out


@pytest.mark.parametrize("command", ["none", *COMMANDS])
def test_no_command_repeats_controls_in_its_error(command, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    name = command if command in COMMANDS else HOSTILE
    words = ["check", HOSTILE] if command == "data" else [HOSTILE]
    assert main([name, *words]) == 2
    assert main([name, *words[:-1], f"--{HOSTILE}", HOSTILE]) == 2
    out, err = capsys.readouterr()
    assert "evil" in err and not CONTROLS.search(out + err)
