"""What shells complete: typed into real shells, and read off the command that they run then."""

import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time

import pytest

from qweft.cli.main import COMMANDS, main

TAB, ALL = "\t", "\x1b*"  # bash: M-* puts in all that can stand there
START = {
    "bash": ["bash", "--norc", "--noprofile", "-i"],
    "zsh": ["zsh", "-f", "-i"],
}
# A function in the place of the program: tells what it was called with, one word in angle brackets each.
TELL = "qweft() { printf 'CALLED'; printf '<%s>' \"$@\"; printf 'END\\n'; }"
READY = {"bash": "", "zsh": "autoload -Uz compinit && compinit -u -D; unsetopt BEEP;"}


def script(shell, capsys):
    assert main(["completion", shell]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


class Shell:
    """An interactive shell with the script, in a folder with files."""

    def __init__(self, name, text, folder):
        self.name = name
        (folder / "qweft-script").write_text(text)
        (folder / "runs").mkdir()
        (folder / "my run.yaml").write_text("")
        self.inner, outer = pty.openpty()
        environment = {**os.environ, "TERM": "dumb", "COLUMNS": "4000", "HOME": str(folder), "PS1": "", "HISTFILE": ""}
        self.process = subprocess.Popen(
            START[name], stdin=outer, stdout=outer, stderr=outer, cwd=folder, env=environment, start_new_session=True
        )
        os.close(outer)
        self.seen = ""
        self._type(f'{READY[name]} {TELL}; eval "$(cat ./qweft-script)"; qweft ready\n')
        self._read("CALLED<ready>END")

    def words(self, typed):
        """The words that the program gets when this and a return are typed."""
        self.seen = ""
        self._type(f"{typed}\n")
        found = self._read(r"CALLED((?:<[^<>]*>)*)END")
        return re.findall(r"<([^<>]*)>", found[1])

    def end(self):
        self.process.kill()
        self.process.wait()
        os.close(self.inner)

    def _type(self, text):
        os.write(self.inner, text.encode())

    def _read(self, wanted):
        end = time.monotonic() + 300
        while not (found := re.search(wanted, self.seen)):
            assert time.monotonic() < end, self.seen
            if select.select([self.inner], [], [], 1)[0]:
                self.seen += os.read(self.inner, 65536).decode(errors="replace")
        return found


@pytest.fixture(params=list(START))
def shell(request, capsys, tmp_path):
    if shutil.which(request.param) is None:
        pytest.skip(f"no {request.param} here")
    made = Shell(request.param, script(request.param, capsys), tmp_path)
    yield made
    made.end()


def test_commands_options_choices_and_files(shell):
    """One shell for all: to begin one takes its time."""
    assert shell.words(f"qweft sw{TAB}") == ["sweep"]
    assert shell.words(f"qweft train --data.ov{TAB}d{TAB}") == ["train", "--data.overlong", "drop"]
    assert shell.words(f"qweft train --training.gradient_check{TAB}t{TAB}") == [
        "train", "--training.gradient_checkpointing", "true",
    ]  # fmt: skip
    assert shell.words(f"qweft train --dry{TAB}") == ["train", "--dry-run"]
    assert shell.words(f"qweft train my{TAB}") == ["train", "my run.yaml"]
    assert shell.words(f"qweft ui ru{TAB}") in (["ui", "runs/"], ["ui", "runs"])
    assert shell.words(f"qweft ui --bes{TAB}ru{TAB}") in (["ui", "--beside", "runs/"], ["ui", "--beside", "runs"])
    assert shell.words(f"qweft data ch{TAB}my{TAB}") == ["data", "check", "my run.yaml"]
    assert shell.words(f"qweft jobs fo{TAB}") == ["jobs", "forget"]
    assert shell.words(f"qweft help sw{TAB}") == ["help", "sweep"]
    assert shell.words(f"qweft completion fi{TAB}") == ["completion", "fish"]
    # behind a point goes a key, without a space
    assert shell.words(f"qweft train --adap{TAB}r 8") == ["train", "--adapter.r", "8"]
    # a number, and a command that there is not, have nothing to complete, not even files
    assert shell.words(f"qweft train --training.max_steps my{TAB}") == ["train", "--training.max_steps", "my"]
    assert shell.words(f"qweft nonsense my{TAB}") == ["nonsense", "my"]
    assert shell.words(f"qweft jobs show my{TAB}") == ["jobs", "show", "my"]


def test_bash_offers_exactly_what_the_help_lists(capsys, tmp_path):
    if shutil.which("bash") is None:
        pytest.skip("no bash here")
    shell = Shell("bash", script("bash", capsys), tmp_path)
    try:
        assert set(shell.words(f"qweft {ALL}")) == {*COMMANDS, "help"}
        assert set(shell.words(f"qweft --{ALL}")) == {"--help", "--version"}
        for command in COMMANDS:
            offered = shell.words(f"qweft {command} --{ALL}")
            assert offered[0] == command and len(set(offered)) == len(offered)
            assert set(offered[1:]) == helped(command, capsys), command
        assert shell.words(f"qweft evaluate x --evaluation.split {ALL}")[3:] == ["test", "validation"]
        assert shell.words(f"qweft evaluate x --device {ALL}")[3:] == ["exact", "noisy", "shots"]
        assert shell.words(f"qweft train --model.device cu{TAB}") == ["train", "--model.device", "cuda"]
        assert shell.words(f"qweft presets -{ALL}") == ["presets", "--help"]
    finally:
        shell.end()


def helped(command, capsys):
    """The options of a command's help; those below a key that the user chooses only as far as that key."""
    with pytest.raises(SystemExit):
        main([command, "--help"])
        raise SystemExit(0)
    out = capsys.readouterr().out
    found = set(re.findall(r"^  (?:-h, )?(--[a-zA-Z][\w.-]*)", out, re.M))
    return {re.sub(r"\.(NAME|KEY)\b.*", ".", name) for name in found}


def test_nothing_heavy_is_imported_for_it():
    heavy = ["torch", "transformers", "peft", "datasets", "matplotlib", "numpy", "pydantic", "rich"]
    code = (
        "import sys\nfrom qweft.cli.main import main\nmain(['completion', 'bash'])\n"
        f"print([name for name in {heavy!r} if name in sys.modules], file=sys.stderr)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600, check=True)
    assert ran.stderr.strip() == "[]"
