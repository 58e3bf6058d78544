import pytest

from qweft.cli.command import COMMANDS
from qweft.cli.help import offered_keys
from qweft.cli.main import main
from qweft.core.schema import is_mapping, option_name


def help_of(capsys, command):
    with pytest.raises(SystemExit) as stopped:
        main([command, "--help"])
        raise SystemExit(0)  # presets returns
    assert stopped.value.code == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_description_example_and_every_option_with_its_text(capsys, monkeypatch, command):
    monkeypatch.setenv("COLUMNS", "80")
    out = help_of(capsys, command)
    flat = " ".join(out.split())
    described = COMMANDS[command]
    assert out.startswith(f"usage: qweft {command}")
    assert described.description in flat
    assert f"example:\n  {described.example}\n" in out
    assert f"qweft {command}" in described.example
    for flag, text in described.flags.items():
        assert f"--{flag} {text}" in flat
    for key in offered_keys(described):
        if key.is_option:
            assert f"\n  --{option_name(key.name)}{'.KEY' if is_mapping(key.kind) else ''} " in out
            assert key.text and key.text in flat
    assert not any(f"--{name} " in out for name in described.unused if name not in described.values)
    copied = ("usage:", "  qweft ")
    assert not [line for line in out.splitlines() if len(line) > 80 and not line.startswith(copied)]
    assert "SUPPRESS" not in out


def test_help_before_the_command_is_its_help(capsys):
    assert help_of(capsys, "train")
    with pytest.raises(SystemExit):
        main(["help", "train"])
    assert capsys.readouterr().out.startswith("usage: qweft train")
    assert main(["help", "trian"]) == 2
    assert "unknown command trian; did you mean train?" in capsys.readouterr().err
    assert main(["--verion"]) == 2
    assert "did you mean --version?" in capsys.readouterr().err


@pytest.mark.parametrize("argv", [[], ["--help"], ["-h"]])
def test_top_help_lists_the_commands(capsys, argv):
    assert main(argv) == 0
    out = capsys.readouterr().out
    for command in COMMANDS.values():
        assert f"  {command.name}" in out and command.short in out
