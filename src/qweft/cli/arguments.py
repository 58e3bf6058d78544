"""The argument list taken apart: a target, flags, and dotted options with their text."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from qweft.errors import QweftError


@dataclass
class Arguments:
    """What stood on the command line.

    Args:
        targets: The arguments without dashes (a config file, an adapter folder), in order.
        flags: Options without a value that were given.
        options: Dotted names with the text that followed, in order; none where nothing followed.
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
        if word in ("-h", "--help"):
            found.wants_help = True
        elif not word.startswith("-"):
            if len(found.targets) == targets:
                raise QweftError(f"unexpected argument {word!r} after {found.targets[-1]!r}")
            found.targets.append(word)
        elif not word.startswith("--") or word == "--":
            raise QweftError(f"unknown option {word}; options begin with two dashes and a name")
        elif "=" in word:
            name, _, text = word[2:].partition("=")
            if name.replace("_", "-") in flag_of:
                raise QweftError(f"--{name} takes no value, got {text}; leave ={text} out")
            found.options.append((name, text))
        elif word[2:].replace("_", "-") in flag_of:
            found.flags.add(flag_of[word[2:].replace("_", "-")])
        else:
            # A value may begin with one dash (-1); two dashes begin the next option.
            followed = waiting and not waiting[0].startswith("--")
            found.options.append((word[2:], waiting.pop(0) if followed else None))
    return found
