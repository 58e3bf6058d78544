"""The rows of a source that no part has yet, by group."""

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence

from qweft.data.conversation import Conversation

LEFT_OVER = "left over from groups held out"
HELD_OUT_ELSEWHERE = "whose group or prompt is held out in another source"
IsUsable = Callable[[Conversation], bool]
"""Tells whether a conversation is a row: its tokens are made only when a split needs to know."""


class GroupPool:
    """The rows of one source that are in no part yet, by group in the order of sha256(seed, group).

    From a group at most a share of what is drawn is taken: a part then has at least `groups_per_part` groups, as 64
    rows of two templates would test two templates. Where there are few groups, a quarter of them.
    """

    def __init__(self, conversations: Sequence[Conversation], seed: int, groups_per_part: int) -> None:
        by_name: dict[str, list[Conversation]] = {}
        for conversation in conversations:
            by_name.setdefault(conversation.group, []).append(conversation)
        names = sorted(by_name, key=lambda name: rank(seed, name))
        self.groups = [by_name[name] for name in names]
        self.left_out: Counter[str] = Counter()
        self._groups_per_part = min(groups_per_part, max(1, len(names) // 4))

    def draw(self, count: int, is_usable: IsUsable) -> list[Conversation]:
        """Take `count` rows, or all that there are, from the first groups; what is left of these is in no part."""
        most_of_a_group = -(-count // self._groups_per_part)  # rounded up
        drawn: list[Conversation] = []
        while len(drawn) < count and self.groups:
            room = min(most_of_a_group, count - len(drawn))
            for conversation in self.groups.pop(0):
                if room == 0:
                    self.left_out[LEFT_OVER] += 1
                elif is_usable(conversation):
                    drawn.append(conversation)
                    room -= 1
        return drawn

    def remove_related(self, rows: Sequence[Conversation]) -> None:
        """Leave out the rows that share their group or prompt with rows held out in another source."""
        groups = {row.group for row in rows}
        prompts = {row.prompt_hash for row in rows}
        remaining: list[list[Conversation]] = []
        for group in self.groups:
            kept = [row for row in group if row.group not in groups and row.prompt_hash not in prompts]
            self.left_out[HELD_OUT_ELSEWHERE] += len(group) - len(kept)
            if kept:
                remaining.append(kept)
        self.groups = remaining


def rank(seed: int, name: str) -> str:
    """Return where a group or row stands in the order of a seed: a hash, so that no other row moves it."""
    return hashlib.sha256(f"{seed}\n{name}".encode()).hexdigest()
