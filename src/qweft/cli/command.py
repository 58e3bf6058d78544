"""`Command`, the description of a command, and `COMMANDS`, the table of them all. It imports next to nothing."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pkgutil import resolve_name
from typing import Any

JSON = {"json": "Print the result as JSON, and nothing else, on standard output."}
TRUST = {"trust-remote-code": "Run Python code that the base model's folder or repository holds. Read it first."}
"""Flag of every command that loads a base model. It is no config key, so that no file can give the permission."""

COMMANDS: dict[str, "Command"] = {}
"""Every command by its name, in the order of `qweft --help`."""


@dataclass
class Command:
    """One command of `qweft`, the source of its help; used as a decorator, it adds a function to `COMMANDS`."""

    name: str
    short: str = ""  # what it does in a few words, for `qweft --help`
    description: str = ""
    example: str = ""  # one line that can be typed as it stands
    target: str = ""  # the positional arguments as in the usage line, in brackets if they may be left out
    target_help: str = ""  # if it is not a common one
    flags: dict[str, str] = field(default_factory=dict)  # options without a value, each with its help
    values: dict[str, tuple[str, str]] = field(default_factory=dict)  # options of no config: word for the value, help
    shows_defaults: bool = True  # whether the defaults of the config class are those of the command
    config: Any = None  # the dataclass whose fields are the options with values, or its place as "module:name"
    verbs: tuple[str, ...] = ()  # allowed words for the first target
    unused: tuple[str, ...] = ()  # options of other commands with the same config files; accepted, but not offered

    def __call__(self, run: Callable[[Any], None]) -> Callable[[Any], None]:
        """Make a function, which takes a `Call`, what the command runs."""
        self.run = run
        COMMANDS[self.name] = self
        return run

    @cached_property
    def options(self) -> Any:
        """The config dataclass; `None` without options."""
        return resolve_name(self.config) if isinstance(self.config, str) else self.config
