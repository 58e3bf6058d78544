"""Which conversations are trained on, chosen by, and reported on."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from qweft.data.conversation import Conversation
from qweft.errors import QweftError

GROUPS = 16
"""A held-out part is spread over at least so many groups where there are enough: 64 rows of two templates measure two
templates, however many rows they are."""


@dataclass(frozen=True)
class Split:
    """The three parts; no group is in two of them.

    Args:
        train: Rows to learn from, in a mixed order that depends on the seed alone, so that the first n of them are
            also the first n of a longer run.
        validation: Rows for choosing.
        test: Rows for the reported numbers.
        left_over: Rows of held-out groups beyond the number asked for: in no part, since training on them would
            show the model its test.
        asked_elsewhere: Rows in no part since a row held out of another source is of their group or has their prompt.
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
    """Split by group, the same way for the same conversations and seed.

    Groups are put in the order of sha256(seed, group). The test part takes rows from the first groups, validation
    from the next, training has the rest: so the test rows do not depend on how many rows the others ask for. A
    held-out group gives at most its share (see `GROUPS`), and the rest of it is left over; only where groups are so
    uneven that the rows would not suffice does it give all it has.

    Held-out parts may come of rows of their own. What is held out there is then taken out of the rows of the parts
    after it, by group and by prompt: the groups of one source mean nothing in another.

    Args:
        conversations: All rows; with `test_from` and `validation_from` those to train on.
        validation: Exact number of validation rows.
        test: Exact number of test rows.
        seed: Another seed gives another split.
        train: At most so many training rows; none means all.
        usable: Rows for which this is false are passed over; asked only of the rows that are needed.
        validation_from: Rows that the validation part is taken from; none means `conversations`.
        test_from: Rows that the test part is taken from; none means `conversations`. May be `validation_from` itself.

    Raises:
        QweftError: A number is negative, or the rows are too few.
    """
    if validation < 0 or test < 0 or (train is not None and train < 1):
        raise QweftError(
            f"validation_rows {validation}, test_rows {test}, train_rows {train}: the first two must be 0 or more, "
            f"train_rows 1 or more, or none for all"
        )
    own = {"train": conversations, "validation": validation_from, "test": test_from}
    rows = {part: conversations if other is None else other for part, other in own.items()}
    # First with the spread; without it where groups are so uneven that the rows would not suffice.
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
        conversations: All of them.
        seed: Of the order.
        spread: Groups that a held-out part is spread over, at least, where there are four times as many.
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
        """Rows of these groups or with these prompts are in no part any more."""
        before = sum(map(len, self.groups))
        kept = [
            [each for each in group if each.group not in groups and each.asked not in prompts] for group in self.groups
        ]
        self.groups = [group for group in kept if group]
        self.asked_elsewhere += before - sum(map(len, self.groups))


def _hold_out(
    pools: dict[int, _Pool], source: Sequence[Conversation], wanted: int, usable: Callable[[Conversation], bool]
) -> list[Conversation]:
    """Take rows of a source, and see that no other source asks them again."""
    taken = pools[id(source)].take(wanted, usable)
    groups, prompts = {each.group for each in taken}, {each.asked for each in taken}
    for other, pool in pools.items():
        if other != id(source) and taken:
            pool.leave_out(groups, prompts)
    return taken


def _take(
    order: list[list[Conversation]], wanted: int, shares: int, usable: Callable[[Conversation], bool]
) -> tuple[list[Conversation], list[list[Conversation]], int]:
    """Take `wanted` rows from the front groups, from each at most its share.

    Returns:
        The rows, the groups not touched, and how many rows of the touched ones were not looked at.
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
    """Return the first `wanted` usable rows in an order that mixes the groups."""
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
) -> QweftError:
    conversations = rows["train"]
    for part, wanted in (("test", test), ("validation", validation)):
        other = rows[part]
        shared = validation if part == "test" and rows["validation"] is other else 0
        if other is not conversations and (good := sum(map(usable, other))) < wanted + shared:
            also = f" and {shared} validation rows" if shared else ""
            return QweftError(
                f"{wanted} {part} rows{also} are asked for, and data.{part}_source gives {good} usable ones in "
                f"{len({each.group for each in other})} groups: lower data.{part}_rows, or give more data"
            )
    good = sum(map(usable, conversations))
    groups = {each.group for each in conversations}
    return QweftError(
        f"{test} test rows, {validation} validation rows and at least one training row are asked for, of different "
        f"groups; the data give {good} usable rows in {len(groups)} groups: lower test_rows and validation_rows, or "
        f"give more data"
    )
