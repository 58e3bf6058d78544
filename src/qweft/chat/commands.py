"""What can be typed besides questions."""

from pathlib import Path

from qweft.chat.dialogue import Dialogue
from qweft.errors import QweftError
from qweft.files import write_bytes
from qweft.plural import many

COMMANDS = {
    "/reset": "forget what was said; the system message stays",
    "/system TEXT": "set the system message; without TEXT take it away",
    "/save FILE": "write the conversation to FILE, which ends in .jsonl: a row for each voice",
    "/help": "show this",
    "/quit": "end, as Ctrl-D does",
}

HELP = "\n".join(f"{name:<14}{text}" for name, text in COMMANDS.items()) + (
    "\nCtrl-C ends the answers that are being given.\n"
    "A line that begins with a space is a question, whatever comes after it."
)


def is_command(line: str) -> bool:
    """Whether a line is a command and no question."""
    return line.startswith("/")


def obey(line: str, dialogue: Dialogue, names: list[str]) -> tuple[Dialogue | None, str]:
    """Do what a command says.

    Args:
        line: The line.
        dialogue: The conversation so far.
        names: What the voices are called.

    Returns:
        The conversation after it, none where it ends, and what there is to say.

    Raises:
        QweftError: If there is no such command, or it lacks what it needs.
    """
    name, _, rest = line.strip().partition(" ")
    rest = rest.strip()
    if name in ("/quit", "/exit"):
        return None, ""
    if name == "/help":
        return dialogue, HELP
    if name == "/reset":
        return dialogue.from_the_start(), f"{many(len(dialogue.turns), 'turn')} forgotten"
    if name == "/system":
        return dialogue.with_system(rest or None), f"system message: {rest}" if rest else "no system message"
    if name == "/save":
        return dialogue, _save(rest, dialogue, names)
    known = ", ".join(command.partition(" ")[0] for command in COMMANDS)
    raise QweftError(f"there is no {name}; there are {known}; begin a question that starts with / with a space")


def _save(file: str, dialogue: Dialogue, names: list[str]) -> str:
    if not file.endswith(".jsonl"):
        raise QweftError(f"/save: expected the name of a file that ends in .jsonl after it, got {file or 'nothing'}")
    if not dialogue.turns:
        raise QweftError("/save: nothing was said yet")
    try:
        write_bytes(Path(file).expanduser(), dialogue.as_rows(names).encode())
    except OSError as error:
        raise QweftError(f"/save {file}: it cannot be written ({error.strerror}); name another file") from error
    return f"saved: {file}, {many(len(dialogue.turns), 'turn')}"
