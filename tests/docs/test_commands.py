"""Every command line of the README and the documentation: checked as it stands, and run on a tiny model."""

import io
import re
import shlex
import tomllib

import pytest

from qweft.cli.comparisons import comparison_of
from qweft.cli.main import COMMANDS, main
from qweft.cli.parser import parse, read
from qweft.comparison.checks import check_comparison, for_search
from qweft.comparison.search.configurations import check_sizes
from qweft.evaluation.checks import check_evaluation
from qweft.training.checks import check_run
from tests.docs.blocks import BLOCKS, COMMAND, ROOT
from tests.docs.workplace import KEPT_ELSEWHERE, SMALL, made_small, typed, words_of

pytestmark = pytest.mark.xdist_group("docs")  # in one process and in order: one command reads what another wrote

LINES = {}
"""Every different command line, with the block that it stands in first; one that some block runs is run."""
for _block in BLOCKS:
    for _line in _block.commands:
        _command = _line.split("#")[0].strip()
        if _command not in LINES or LINES[_command].not_run:
            LINES[_command] = _block
OURS = [line for line in LINES if re.match(r"qweft |(echo|printf) .*\| qweft |eval .*\(qweft ", line)]
CONFIGS = ("train", "plan", "compare", "tune")
"""Commands that take a config file."""


def check_as_it_stands(words):
    """What a command does with its arguments before it loads anything."""
    command, *argv = words
    described = COMMANDS[command]
    if command not in CONFIGS:
        read(argv, described).given()
        return
    config = (
        comparison_of(read(argv, described))[0] if command == "compare" else parse(described.options, argv, described)
    )
    if command == "tune" and config.space:
        check_sizes(config)
    elif command in ("compare", "tune"):
        check_comparison(for_search(config) if command == "tune" else config)
    else:
        check_run(config)
        check_evaluation(config.evaluation, config.data)


@pytest.mark.parametrize("line", OURS)
def test_a_command_of_the_documentation(workplace, capsys, monkeypatch, line):
    words = words_of(line)
    assert words[0] in COMMANDS, LINES[line].where
    check_as_it_stands(words)
    if words[0] in KEPT_ELSEWHERE or LINES[line].not_run:
        return
    said = (typed(line) or "hi\n").encode()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(said), encoding="utf-8"))
    status = main(made_small(words))
    assert status == 0, f"{LINES[line].where}: {line}\n{capsys.readouterr().err}"


def test_text_hides_no_command():
    for block in BLOCKS:
        if block.kind == "text":
            assert not any(COMMAND.match(line) for line in block.code.splitlines()), block.where


@pytest.mark.parametrize("line", [line for line in LINES if line not in OURS])
def test_a_command_of_another_program(line):
    """Nothing is installed or measured here: what they name is there, and the page says why they are not run."""
    words = [word for word in shlex.split(line, comments=True) if not re.fullmatch(r"[A-Z_]+=\S+", word)]
    assert LINES[line].not_run, f"{LINES[line].where}: {line} is not run here; say why: <!-- not run: ... --> before it"
    if words[0] == "make":
        assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE), line
    elif words[0] == "pip":
        extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
        assert set(re.findall(r"[\w-]+", words[-1].partition("[")[2])) <= extras.keys(), line
    elif words[:2] == ["python", "-m"]:
        assert (ROOT / f"{words[2].replace('.', '/')}.py").is_file(), line


def test_every_command_has_an_example_and_every_small_size_is_used():
    shown = {words_of(line)[0] for line in OURS}
    assert shown == set(COMMANDS)
    assert set(SMALL) <= shown
