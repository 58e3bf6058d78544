"""Takes a command line apart; `parse` reads its YAML file and dotted options into a config dataclass.

No library does this for configs with dicts of sections, such as `--methods.qtha.adapter.r 4` (research/LOG.md).
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, TypeVar

from qweft.cli.call import Call
from qweft.cli.command import TRUST, Command
from qweft.cli.help import help_text
from qweft.core import yaml_file
from qweft.core.errors import QweftError
from qweft.core.schema import field_types, text_field
from qweft.models.config import allow_remote_code

Config = TypeVar("Config")


def parse(config_class: type[Config], argv: Sequence[str], command: Command | None = None) -> Config:
    """Return the config that a command's arguments describe: at most one YAML file, and dotted options.

    Raises:
        QweftError: The file or an option is wrong, in one sentence.
        SystemExit: With status 0, after the help.

    >>> from qweft.training.config import RunConfig
    >>> parse(RunConfig, ["--adapter.r", "8", "--training.learning_rate", "1e-3"]).adapter
    {'preset': 'qtha', 'r': 8}
    """
    command = command or Command("COMMAND", target="[CONFIG]", config=config_class)
    config: Config = read(argv, command).config(config_class)
    return config


def dump_yaml(config: Any) -> str:
    """Return the YAML of a config dataclass, with every key; `parse` reads it back to an equal config."""
    return yaml_file.dump(asdict(config))


def read(argv: Sequence[str], command: Command) -> Call:
    """Take the arguments apart, and note whether code of a base model may run; with `--help`, print it and exit."""
    call = take_apart(argv, command)
    if "help" in call.flags:
        print(help_text(command), end="")
        raise SystemExit(0)
    allow_remote_code(bool(call.flags & set(TRUST)))
    _check_targets(call)
    if command.options is None:
        call.given()  # raises for any option
    return call


def take_apart(argv: Sequence[str], command: Command) -> Call:
    """Take an argument list apart, without checking names or values of the config's options."""
    call = Call(command, argv)
    waiting = ["--help" if word == "-h" else word for word in argv]
    while waiting:
        word = waiting.pop(0)
        if not word.startswith("-"):
            _add_target(call, word)
        elif not word.startswith("--") or word == "--":
            raise QweftError(f"unknown option {word}; options begin with two dashes and a name")
        else:
            _add_option(call, word, waiting)
    return call


def _add_target(call: Call, word: str) -> None:
    """Add a positional argument."""
    takes_any = call.command.target.endswith("...")
    most = max(1, len(call.command.target.split()))
    if not takes_any and len(call.targets) == most:
        way_out = "leave it out, or put a value that has a space in quotes"
        raise QweftError(f"unexpected argument {word!r} after {call.targets[-1]!r}; {way_out}")
    call.targets.append(word)


def _add_option(call: Call, word: str, waiting: list[str]) -> None:
    """Add an option, and take its value from the words that wait."""
    command = call.command
    name, has_value, text = word.removeprefix("--").partition("=")
    flag = _known_option(name, [*command.flags, "help"])
    if flag is not None:
        if has_value:
            raise QweftError(f"--{name} takes no value, got {text}; leave ={text} out")
        call.flags.add(flag)
        return

    value: str | None = None
    if has_value:
        value = text
    elif waiting and not waiting[0].startswith("--"):  # a value may begin with one dash (-1)
        value = waiting.pop(0)
    option = _known_option(name, command.values)
    if option is None:
        call.options.append((_full_name(command, name, value), value))  # checked with the config file, later
    elif not value:
        raise QweftError(f"--{option}: expected a value after it")
    else:
        call.values[option] = value


def _known_option(typed: str, names: Any) -> str | None:
    """Return the name that was typed with hyphens or underscores; `None` if it is none of them."""
    for name in names:
        if name.replace("_", "-") == typed.replace("_", "-"):
            return str(name)
    return None


def _full_name(command: Command, name: str, value: str | None) -> str:
    """Return the name of an option: --model NAME stands for --model.name NAME."""
    section = field_types(command.options).get(name)
    key = text_field(section)
    if not key or not value or "{" in value:  # a mapping in YAML is the section itself
        return name
    return f"{name}.{key}"


def _check_targets(call: Call) -> None:
    """Check the number of positional arguments, and the verb of a command that has verbs."""
    command = call.command
    name = f"qweft {command.name}"
    is_optional = command.target.startswith("[")
    if call.targets and not command.target:
        raise QweftError(f"{name} takes no arguments, got {call.targets[0]}")
    if not call.targets and command.target and not is_optional:
        raise QweftError(f"{name}: {command.target} is missing; for example: {command.example}")
    if call.targets and command.verbs and call.targets[0] not in command.verbs:
        raise QweftError(f"{name}: there is no {call.targets[0]}; there are {', '.join(command.verbs)}")
