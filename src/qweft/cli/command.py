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
    """One command of `qweft`, the source of its help; used as a decorator, it adds a function to `COMMANDS`.

    Args:
        name: As typed: `qweft NAME`.
        short: What it does in a few words, for `qweft --help`.
        description: One paragraph.
        example: One line that can be typed as it stands.
        target: The positional arguments as in the usage line, in brackets if they may be left out; empty without any.
        target_help: Help of the target, if it is not a common one.
        flags: Options without a value, each with its help.
        values: Options with a value that are no key of the config, each with the word for its value, and its help.
        shows_defaults: Whether the defaults of the config class are the defaults of the command.
        config: The config dataclass whose fields are the options with values, or its place as "module:name".
        verbs: Allowed words for the first target, if it is one of a few.
        unused: Options that only other commands with the same config files use; accepted, but not offered.
    """

    name: str
    short: str = ""
    description: str = ""
    example: str = ""
    target: str = ""
    target_help: str = ""
    flags: dict[str, str] = field(default_factory=dict)
    values: dict[str, tuple[str, str]] = field(default_factory=dict)
    shows_defaults: bool = True
    config: Any = None
    verbs: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()

    def __call__(self, run: Callable[[Any], None]) -> Callable[[Any], None]:
        """Make a function, which takes a `Call`, what the command runs."""
        self.run = run
        COMMANDS[self.name] = self
        return run

    @cached_property
    def options(self) -> Any:
        """The config dataclass; `None` without options."""
        return resolve_name(self.config) if isinstance(self.config, str) else self.config
