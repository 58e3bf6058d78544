"""Which conversations are trained on, chosen by, and reported on."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
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
    """

    train: tuple[Conversation, ...]
    validation: tuple[Conversation, ...]
    test: tuple[Conversation, ...]
    left_over: int


def split(
    conversations: Sequence[Conversation],
    validation: int,
    test: int,
    seed: int,
    train: int | None = None,
    usable: Callable[[Conversation], bool] = lambda _: True,
) -> Split:
    """Split by group, the same way for the same conversations and seed.

    Groups are put in the order of sha256(seed, group). The test part takes rows from the first groups, validation
    from the next, training has the rest: so the test rows do not depend on how many rows the others ask for. A
    held-out group gives at most its share (see `GROUPS`), and the rest of it is left over; only where groups are so
    uneven that the rows would not suffice does it give all it has.

    Args:
        conversations: All rows.
        validation: Exact number of validation rows.
        test: Exact number of test rows.
        seed: Another seed gives another split.
        train: At most so many training rows; none means all.
        usable: Rows for which this is false are passed over; asked only of the rows that are needed.

    Raises:
        QweftError: A number is negative, or the rows are too few.
    """
    if validation < 0 or test < 0 or (train is not None and train < 1):
        raise QweftError(
            f"validation_rows {validation}, test_rows {test}, train_rows {train}: the first two must be 0 or more, "
            f"train_rows 1 or more, or none for all"
        )
    groups: dict[str, list[Conversation]] = {}
    for conversation in conversations:
        groups.setdefault(conversation.group, []).append(conversation)
    order = [groups[name] for name in sorted(groups, key=lambda name: _rank(seed, name))]
    # First with the spread; without it where groups are so uneven that the rows would not suffice.
    for spread in (GROUPS, 1):
        shares = min(spread, max(1, len(order) // 4))
        tested, after, spare = _take(order, test, shares, usable)
        validated, rest, more = _take(after, validation, shares, usable)
        chosen = _mix(rest, seed, train, usable)
        if len(tested) == test and len(validated) == validation and chosen:
            return Split(tuple(chosen), tuple(validated), tuple(tested), spare + more)
    raise _too_few(conversations, groups, validation, test, usable)


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
    conversations: Sequence[Conversation],
    groups: dict[str, list[Conversation]],
    validation: int,
    test: int,
    usable: Callable[[Conversation], bool],
) -> QweftError:
    good = sum(map(usable, conversations))
    return QweftError(
        f"{test} test rows, {validation} validation rows and at least one training row are asked for, of different "
        f"groups; the data give {good} usable rows in {len(groups)} groups: lower test_rows and validation_rows, or "
        f"give more data"
    )
