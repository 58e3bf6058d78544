"""Split of conversations into training, validation and test parts, by group."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from qweft.data.conversation import Conversation
from qweft.errors import QweftError

GROUPS = 16
"""Minimum number of groups in a held-out part, if there are enough: 64 rows of two templates test two templates."""


class TooFewRowsError(QweftError):
    """The sources have too few rows for the numbers that are asked for."""


@dataclass(frozen=True)
class Split:
    """The training, validation and test parts; no group is in two of them.

    Args:
        train: Training rows, shuffled by the seed alone, so the first n are the same for any number of training rows.
        validation: Rows for choosing learning rates and checkpoints.
        test: Rows for the reported results.
        left_over: Number of unused rows in held-out groups of the training source. They are in no part, since
            training on them would leak the test.
        asked_elsewhere: Number of rows of the training source in no part, because a row held out from another source
            has the same group or prompt.
    """

    train: tuple[Conversation, ...]
    validation: tuple[Conversation, ...]
    test: tuple[Conversation, ...]
    left_over: int
    asked_elsewhere: int = 0


def split(
    conversations: Sequence[Conversation],
    validation: int,
    test: int,
    seed: int,
    train: int | None = None,
    usable: Callable[[Conversation], bool] = lambda _: True,
    validation_from: Sequence[Conversation] | None = None,
    test_from: Sequence[Conversation] | None = None,
) -> Split:
    """Split by group; deterministic in the conversations and the seed.

    Groups are sorted by sha256(seed, group). The test part takes rows from the first groups and validation from the
    next; training gets the rest. So the test rows do not depend on the sizes of the other parts, unless
    there are few rows (see below).

    A held-out group gives at most ceil(n / s) rows to a part of n rows, where s is `GROUPS` or a quarter of the number
    of groups, if that is less. Its other rows are left over. If the rows do not suffice that way, since the groups are
    uneven, s is 1: a held-out group gives all of its rows.

    Held-out parts may have sources of their own. Rows with a held-out group or prompt are then removed from the other
    sources. The group alone is not enough, since its name may mean nothing in another source.

    Args:
        conversations: Rows of the training part, and of held-out parts without a source of their own.
        validation: Exact number of validation rows.
        test: Exact number of test rows.
        seed: Seed of the split.
        train: Maximum number of training rows; `None` means all.
        usable: Whether a row can be used; others are skipped. Called only for the rows that are needed.
        validation_from: Source of the validation rows; `None` means `conversations`.
        test_from: Source of the test rows; `None` means `conversations`. It may be the same object as
            `validation_from`.

    Raises:
        TooFewRowsError: There are too few rows.
        QweftError: A number is out of range.
    """
    if validation < 0 or test < 0 or (train is not None and train < 1):
        raise QweftError(
            f"validation_rows {validation}, test_rows {test}, train_rows {train}: the first two must be 0 or more, "
            f"train_rows 1 or more, or none for all"
        )
    own = {"train": conversations, "validation": validation_from, "test": test_from}
    rows = {part: conversations if other is None else other for part, other in own.items()}
    # Try with the spread first, then without: uneven groups may give too few rows with it.
    for spread in (GROUPS, 1):
        pools = {id(each): _Pool(each, seed, spread) for each in rows.values()}
        tested = _hold_out(pools, rows["test"], test, usable)
        validated = _hold_out(pools, rows["validation"], validation, usable)
        left = pools[id(conversations)]
        chosen = _mix(left.groups, seed, train, usable)
        if len(tested) == test and len(validated) == validation and chosen:
            return Split(tuple(chosen), tuple(validated), tuple(tested), left.left_over, left.asked_elsewhere)
    raise _too_few(rows, validation, test, usable)


class _Pool:
    """The rows of one source that are in no part yet.

    Args:
        conversations: All rows of the source.
        seed: Seed of the order of the groups.
        spread: Minimum number of groups in a held-out part; at most a quarter of the source's groups.
    """

    def __init__(self, conversations: Sequence[Conversation], seed: int, spread: int) -> None:
        groups: dict[str, list[Conversation]] = {}
        for conversation in conversations:
            groups.setdefault(conversation.group, []).append(conversation)
        self.groups = [groups[name] for name in sorted(groups, key=lambda name: _rank(seed, name))]
        self.shares = min(spread, max(1, len(self.groups) // 4))
        self.left_over = 0
        self.asked_elsewhere = 0

    def take(self, wanted: int, usable: Callable[[Conversation], bool]) -> list[Conversation]:
        taken, self.groups, spare = _take(self.groups, wanted, self.shares, usable)
        self.left_over += spare
        return taken

    def leave_out(self, groups: set[str], prompts: set[str]) -> None:
        """Remove the rows of these groups and those with these prompts."""
        before = sum(map(len, self.groups))
        kept = [
            [each for each in group if each.group not in groups and each.asked not in prompts] for group in self.groups
        ]
        self.groups = [group for group in kept if group]
        self.asked_elsewhere += before - sum(map(len, self.groups))


def _hold_out(
    pools: dict[int, _Pool], source: Sequence[Conversation], wanted: int, usable: Callable[[Conversation], bool]
) -> list[Conversation]:
    """Take rows of a source, and remove their groups and prompts from the other sources."""
    taken = pools[id(source)].take(wanted, usable)
    groups, prompts = {each.group for each in taken}, {each.asked for each in taken}
    for other, pool in pools.items():
        if other != id(source) and taken:
            pool.leave_out(groups, prompts)
    return taken


def _take(
    order: list[list[Conversation]], wanted: int, shares: int, usable: Callable[[Conversation], bool]
) -> tuple[list[Conversation], list[list[Conversation]], int]:
    """Take `wanted` rows from the first groups, at most ceil(wanted / shares) from each.

    Returns:
        The rows taken, the groups not used, and the number of left-over rows in the used groups.
    """
    share = -(-wanted // shares)
    taken: list[Conversation] = []
    spare = 0
    for used, group in enumerate(order):
        if len(taken) == wanted:
            return taken, order[used:], spare
        room = min(share, wanted - len(taken))
        for conversation in group:
            if room == 0:
                spare += 1
            elif usable(conversation):
                taken.append(conversation)
                room -= 1
    return taken, [], spare


def _mix(
    groups: Iterable[list[Conversation]], seed: int, wanted: int | None, usable: Callable[[Conversation], bool]
) -> list[Conversation]:
    """Return the first `wanted` usable rows in a shuffled order; `None` means all."""
    ranked = [
        (_rank(seed, f"{conversation.group}\n{number}"), conversation)
        for group in groups
        for number, conversation in enumerate(group)
    ]
    chosen: list[Conversation] = []
    for _, conversation in sorted(ranked, key=lambda pair: pair[0]):
        if wanted is not None and len(chosen) == wanted:
            break
        if usable(conversation):
            chosen.append(conversation)
    return chosen


def _rank(seed: int, name: str) -> str:
    return hashlib.sha256(f"{seed}\n{name}".encode()).hexdigest()


def _too_few(
    rows: Mapping[str, Sequence[Conversation]],
    validation: int,
    test: int,
    usable: Callable[[Conversation], bool],
) -> TooFewRowsError:
    conversations = rows["train"]
    for part, wanted in (("test", test), ("validation", validation)):
        other = rows[part]
        shared = validation if part == "test" and rows["validation"] is other else 0
        if other is not conversations and (good := sum(map(usable, other))) < wanted + shared:
            also = f" and {shared} validation rows" if shared else ""
            return TooFewRowsError(
                f"{wanted} {part} rows{also} are asked for, and data.{part}_source gives {good} usable ones in "
                f"{len({each.group for each in other})} groups: lower data.{part}_rows, or give more data"
            )
    good = sum(map(usable, conversations))
    groups = {each.group for each in conversations}
    return TooFewRowsError(
        f"{test} test rows, {validation} validation rows and at least one training row are asked for, of different "
        f"groups; the data give {good} usable rows in {len(groups)} groups: lower data.test_rows and "
        f"data.validation_rows, or give more data"
    )
