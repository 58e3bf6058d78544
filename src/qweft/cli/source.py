"""Where a value was written (a file or the command line), and the sentences that say what is wrong with it."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from qweft.cli.schema import shown
from qweft.errors import QweftError
from qweft.suggest import near


@dataclass(frozen=True)
class Source:
    """Where a value was written.

    Args:
        file: Path of the YAML file as the user typed it; none means the command line.
        flags: Options of the command that take no value, offered as suggestions too.
    """

    file: str | None = None
    flags: tuple[str, ...] = ()

    def fault(self, name: str, what: str) -> QweftError:
        """Return the error "FILE: NAME: what", or "--NAME: what" for an option."""
        return QweftError(f"{self.file}: {name}: {what}" if self.file else f"--{shown(name)}: {what}")

    def unknown(self, name: str, known: Iterable[str], siblings: Iterable[str] = ()) -> QweftError:
        """Return the error for a name that does not exist.

        Args:
            name: The full dotted name.
            known: All full dotted names that exist.
            siblings: Names that exist at this place, listed where no name is close.
        """
        what = f"{self.file}: unknown key {name}" if self.file else f"unknown option --{name}"
        close = suggest(name, [*known, *self.flags])
        if close:
            return QweftError(f"{what}; did you mean {close if self.file else f'--{shown(close)}'}?")
        are_options = not self.file and "." not in name
        listed = ", ".join(shown(sibling) if are_options else sibling for sibling in siblings)
        return QweftError(f"{what}; known here: {listed}" if listed else what)


def suggest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that the user most likely meant, or none.

    A name that only lacks its section (`batch_size` for `training.batch_size`) is recognised by its last part.

    >>> suggest("training.learning_rat", ["training.learning_rate", "training.epochs"])
    'training.learning_rate'
    >>> suggest("lerning_rate", ["training.learning_rate", "output"])
    'training.learning_rate'
    """
    names = list(dict.fromkeys(known))
    close = near(name, names, cutoff=0.75)
    if close:
        return close[0]
    last_parts = {known_name.rpartition(".")[2]: known_name for known_name in reversed(names)}
    close = near(name.rpartition(".")[2], last_parts, cutoff=0.75)
    return last_parts[close[0]] if close else None


def show_value(value: Any) -> str:
    """Return a value as it would stand in YAML, short enough for a sentence."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:57] + "..."
