"""What a command says about itself: the source of its usage line and of its help."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Command:
    """One command of `qweft`.

    Args:
        name: As typed: `qweft NAME`.
        description: One paragraph.
        example: One line that can be typed as it stands.
        target: What the argument without dashes is called in the usage line; several words for several arguments;
            empty where there is none.
        target_help: What the target is.
        target_required: Whether the command needs its target.
        flags: Options without a value, each with its help.
        shows_defaults: Whether the defaults of the config class are the defaults of the command.
        options: The config dataclass whose fields are the options with values; none where there are none.
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

    @property
    def usage(self) -> str:
        """The usage line without "usage: "."""
        words = ["qweft", self.name]
        if self.target:
            words.append(self.target if self.target_required else f"[{self.target}]")
        if self.target and self.options is not None:
            words.append("[--SECTION.KEY VALUE ...]")
        return " ".join([*words, *(f"[--{flag}]" for flag in self.flags)])


@dataclass(frozen=True)
class NoOptions:
    """The config class of a command without options that take a value."""
