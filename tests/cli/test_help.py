import importlib
import re
import subprocess
import sys
from dataclasses import is_dataclass

import pytest
from docstring_parser import parse as parse_docstring

from qweft.analysis.config import InspectionConfig
from qweft.chat.config import ChatConfig
from qweft.circuit_view.config import CircuitConfig
from qweft.cli.data import CheckConfig
from qweft.cli.evaluate import Overrides
from qweft.cli.main import COMMANDS, main
from qweft.cli.push import PushConfig
from qweft.cli.report import ReportConfig
from qweft.comparison.config import ComparisonConfig, MethodConfig
from qweft.comparison.starter import CompareOptions, InitOptions
from qweft.exporting.config import ExportConfig
from qweft.schema import is_mapping, keys_of
from qweft.serve.config import PageConfig, ServeConfig
from qweft.sweep.config import SweepConfig
from qweft.training.config import RunConfig

CONFIG_CLASSES = {
    "serve": ServeConfig,
    "train": RunConfig,
    "plan": RunConfig,
    "init": InitOptions,
    "compare": CompareOptions,
    "tune": ComparisonConfig,
    "sweep": SweepConfig,
    "data": CheckConfig,
    "evaluate": Overrides,
    "chat": ChatConfig,
    "ui": PageConfig,
    "inspect": InspectionConfig,
    "circuit": CircuitConfig,
    "export": ExportConfig,
    "push": PushConfig,
    "report": ReportConfig,
    "presets": None,
    "doctor": None,
    "devices": None,
    "jobs": None,
    "schema": None,
    "completion": None,
}


def names(config_class):
    return {name: kind for name, kind, *_ in keys_of(config_class)}


def text_of(config_class, name):
    """The words of a docstring's Args section about a dotted name of a config class."""
    section, _, key = name.rpartition(".")
    owner = MethodConfig if section == "methods.NAME" else names(config_class)[section] if section else config_class
    told = [arg for each in owner.__mro__ for arg in parse_docstring(each.__doc__ or "").params]
    return next(arg.description for arg in told if arg.arg_name == key)


def help_of(capsys, command):
    with pytest.raises(SystemExit) as stopped:
        main([command, "--help"])
        raise SystemExit(0)  # presets returns
    assert stopped.value.code == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def test_every_command_is_covered():
    assert set(CONFIG_CLASSES) == set(COMMANDS)
    for name, config_class in CONFIG_CLASSES.items():
        assert importlib.import_module(f"qweft.cli.{name}").COMMAND.options is config_class


def test_help_in_a_terminal_without_width(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "1")
    assert "example:" in help_of(capsys, "train")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_description_example_and_every_option_with_its_text(capsys, monkeypatch, command):
    monkeypatch.setenv("COLUMNS", "90")
    out = help_of(capsys, command)
    flat = " ".join(out.split())
    described = importlib.import_module(f"qweft.cli.{command}").COMMAND
    assert out.startswith(f"usage: qweft {command}")
    assert described.description in flat
    assert f"example:\n  {described.example}\n" in out
    assert f"qweft {command}" in described.example
    for flag, text in described.flags.items():
        assert f"--{flag} {text}" in flat
    config_class = CONFIG_CLASSES[command]
    for name, kind in names(config_class).items() if config_class else ():
        if not is_dataclass(kind) and name != "methods":
            option = name if "." in name else name.replace("_", "-")
            if name in described.unused:
                assert f"--{option} " not in out
                continue
            assert f"\n  --{option}{'.KEY' if is_mapping(kind) else ''} " in out
            assert " ".join(text_of(config_class, name).split()) in flat
    assert all(len(line) <= 90 for line in out.splitlines())
    assert "SUPPRESS" not in out


def test_help_shows_defaults_types_and_sections(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    out = help_of(capsys, "train")
    flat = " ".join(out.split())
    assert "--training.learning_rate FLOAT Peak learning rate. `None`" in flat
    assert "--data.overlong {cut,drop}" in out
    assert "--training.gradient_checkpointing {true,false}" in out
    assert "(default: {preset: qtha})" in flat
    assert "\ntraining: the training:\n" in out
    assert "\nmethods.NAME: the methods by name;" in help_of(capsys, "compare")


@pytest.mark.parametrize("command", COMMANDS)
def test_options_without_a_section_are_spelled_with_hyphens(capsys, command):
    options = re.findall(r"--[a-zA-Z][\w.-]*", help_of(capsys, command))
    assert not [option for option in options if "." not in option and "_" in option]
    assert not [option for option in options if "." in option and "-" in option[2:]]


def test_evaluate_does_not_show_defaults_that_are_not_its_own(capsys):
    assert "(default" not in help_of(capsys, "evaluate")


@pytest.mark.parametrize("command", COMMANDS)
def test_lines_fit_80_columns_but_for_what_is_copied(capsys, monkeypatch, command):
    monkeypatch.setenv("COLUMNS", "80")
    lines = help_of(capsys, command).splitlines()
    copied = [line for line in lines if line.startswith(("usage:", "  qweft "))]
    assert not [line for line in lines if len(line) > 80 and line not in copied]
    assert not [line for line in lines if re.search(r"[a-z]-$", line)], "a name is broken at its hyphen"


def test_defaults_are_shown_as_they_are_typed(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    flat = " ".join((help_of(capsys, "train") + help_of(capsys, "compare")).split())
    assert "(default: no)" in flat and "(default: 0,1,2)" in flat
    assert "[]" not in flat and "'no'" not in flat


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
    for command, text in COMMANDS.items():
        assert f"  {command}" in out
        assert text in out


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("qweft 0.")


@pytest.mark.parametrize(
    "argv",
    [
        ["--help"],
        ["--version"],
        ["train", "--help"],
        ["compare", "--help"],
        ["inspect", "--help"],
        ["circuit", "--help"],
    ],
)
def test_help_imports_nothing_heavy(argv):
    heavy = ["torch", "transformers", "peft", "datasets", "matplotlib", "pandas", "numpy"]
    code = (
        "import sys\nfrom qweft.cli.main import main\n"
        f"try:\n    main({argv!r})\nexcept SystemExit:\n    pass\n"
        f"print([name for name in {heavy!r} if name in sys.modules], file=sys.stderr)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600, check=True)
    assert ran.stderr.strip() == "[]"
