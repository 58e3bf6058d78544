"""Each wrong input that docs/errors.md names gives the sentence that stands there."""

import io
import re
import socket

import pytest

from qweft.chat.page.session import BUSY
from tests.docs.blocks import ROOT
from tests.docs.wrong import in_a_config, in_a_file, in_a_folder, in_python, rows, said_by, typed


def check(found, said):
    """The page may leave out the end of a sentence, and then shows three points."""
    assert found == said or (said.endswith(" ...") and found.startswith(said.removesuffix("..."))), found


@pytest.mark.parametrize(("line", "said"), rows("Command lines"))
def test_a_command_line(workplace, line, said):
    check(typed(line), said)


@pytest.mark.parametrize(("line", "said"), rows("Config files"))
def test_a_config_file(workplace, line, said):
    check(in_a_config(line, workplace), said)


@pytest.mark.parametrize(("line", "said"), rows("Rows"))
def test_a_row(workplace, line, said):
    check(in_a_file(line, workplace), said)


@pytest.mark.parametrize(("change", "said"), rows("Adapters"))
def test_an_adapter(workplace, change, said):
    check(in_a_folder(change, workplace), said)


@pytest.mark.parametrize(("code", "said"), rows("Python"))
def test_a_call(workplace, code, said):
    check(in_python(code, workplace).splitlines()[0], said)


def test_every_table_is_read():
    assert all(len(rows(section)) >= 5 for section in ("Command lines", "Config files", "Rows", "Adapters", "Python"))


def test_the_sentences_of_the_page_about_talking(workplace, monkeypatch):
    text = (ROOT / "docs" / "chat.md").read_text(encoding="utf-8")
    said = [row["said"] for row in re.finditer(r"^\| `(?P<said>[^`]*[;:,][^`]*)` \|", text, re.MULTILINE)]
    adapter = "runs/train/adapter"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        found = [said_by(["ui", adapter, "--port", str(port)]).replace(str(port), "7860")]
    found.append(said_by(["chat", adapter, "--beside", "nowhere"]))
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"/nonsense\n"), encoding="utf-8"))
    found.append(said_by(["chat", adapter]))
    found += [said_by(["chat", adapter, "--temperature", "-1"]), BUSY]
    assert said == found
