"""What a command says about itself, and its argument list taken apart."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from qweft.errors import QweftError


@dataclass(frozen=True)
class Command:
    """One command of `qweft`: the source of its usage line, its help and its completion.

    Args:
        name: As typed: `qweft NAME`.
        description: One paragraph.
        example: One line that can be typed as it stands.
        target: The arguments without dashes, as the usage line calls them; empty where there is none.
        target_help: What the target is.
        target_required: Whether the command needs its target.
        flags: Options without a value, each with its help.
        shows_defaults: Whether the defaults of the config class are the defaults of the command.
        options: The config dataclass whose fields are the options with values; `None` where there are none.
        verbs: What the first target can be, where it is one of a few words.
        unused: Options that only other commands with the same config files heed; they are taken, and not offered.
    """

    name: str
    description: str
    example: str
    target: str = ""
    target_help: str = ""
    target_required: bool = False
    flags: dict[str, str] = field(default_factory=dict)
    shows_defaults: bool = True
    options: Any = None
    verbs: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()


@dataclass(frozen=True)
class NoOptions:
    """The config class of a command without options that take a value."""


@dataclass
class Arguments:
    """What stood on the command line.

    Args:
        targets: The arguments without dashes (a config file, an adapter folder), in order.
        flags: Options without a value that were given.
        options: Dotted names with the text that followed, in order; `None` where nothing followed.
        wants_help: Whether `-h` or `--help` was given.
    """

    targets: list[str] = field(default_factory=list)
    flags: set[str] = field(default_factory=set)
    options: list[tuple[str, str | None]] = field(default_factory=list)
    wants_help: bool = False

    @property
    def target(self) -> str | None:
        """The first argument without dashes, if any."""
        return self.targets[0] if self.targets else None


def split(argv: Sequence[str], flags: Collection[str] = (), targets: int = 1) -> Arguments:
    """Take an argument list apart, without judging names or values.

    Args:
        argv: The arguments after the command's name.
        flags: Names, without dashes, of the options that take no value.
        targets: How many arguments without dashes there may be.

    Raises:
        QweftError: If there are more arguments, or an option is none, or has a value that it does not take.

    >>> split(["a.yaml", "--adapter.r", "8", "--training.seed=1", "--json"], ["json"]).options
    [('adapter.r', '8'), ('training.seed', '1')]
    """
    found = Arguments()
    flag_of = {name.replace("_", "-"): name for name in flags}  # a flag is the same with hyphens and with underscores
    waiting = list(argv)
    while waiting:
        word = waiting.pop(0)
        name, has_value, text = word[2:].partition("=")
        flag = flag_of.get(name.replace("_", "-"))
        if word in ("-h", "--help"):
            found.wants_help = True
        elif not word.startswith("-"):
            if len(found.targets) == targets:
                raise QweftError(f"unexpected argument {word!r} after {found.targets[-1]!r}")
            found.targets.append(word)
        elif not word.startswith("--") or word == "--":
            raise QweftError(f"unknown option {word}; options begin with two dashes and a name")
        elif flag and has_value:
            raise QweftError(f"--{name} takes no value, got {text}; leave ={text} out")
        elif flag:
            found.flags.add(flag)
        elif has_value or not waiting or waiting[0].startswith("--"):
            found.options.append((name, text if has_value else None))
        else:  # a value may begin with one dash (-1)
            found.options.append((name, waiting.pop(0)))
    return found
