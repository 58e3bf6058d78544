"""The chitchat data set: small talk between two people."""

from collections.abc import Iterator, Sequence
from itertools import cycle, groupby
from operator import itemgetter
from typing import Any

from pydantic_core import from_json

from qweft.models.packages import installed_file

WINDOW = 6
"""Maximum length of a window of a conversation, in turns."""
SYSTEM = "Small talk between two people."
"""System message of all rows, in place of the chat template's longer default."""


def chitchat() -> Iterator[dict[str, Any]]:
    """Yield windows of conversations between two people; a group is a conversation."""
    # Read the file directly: all that importing the package would give is its path.
    path = installed_file("chitchat_dataset", "dataset.json")
    assert path is not None  # `check_embedded` comes first
    for name, conversation in from_json(path.read_bytes(), cache_strings="keys").items():
        turns = _read_turns(conversation["messages"])
        for start in range(0, len(turns) - 1, WINDOW):
            window = turns[start : start + WINDOW]
            pairs = len(window) // 2
            yield {"system": SYSTEM, "messages": window[: 2 * pairs], "group": name}


def _read_turns(blocks: Sequence[Sequence[dict[str, str]]]) -> list[dict[str, str]]:
    """Return the turns of a conversation, the first speaker as the user; none unless there are two speakers."""
    messages: list[dict[str, str]] = []
    for block in blocks:
        messages += [message for message in block if message["text"].strip()]
    if len({message["sender"] for message in messages}) != 2:
        return []
    turns: list[dict[str, str]] = []
    roles = cycle(("user", "assistant"))
    for _, run in groupby(messages, key=itemgetter("sender")):  # several messages in a row are one turn
        text = "\n".join(message["text"].strip() for message in run)
        turns.append({"role": next(roles), "content": text})
    return turns
