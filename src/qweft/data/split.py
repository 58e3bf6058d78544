"""Split of conversations into training, validation and test parts, by group."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from qweft.data.conversation import Conversation
from qweft.errors import QweftError

GROUPS = 16
"""Minimum number of groups in a held-out part, if there are enough: 64 rows of two templates test two templates."""


class TooFewRowsError(QweftError):
    """The sources have too few rows for the numbers that are asked for."""


@dataclass(frozen=True)
class Share:
    """One of several sources of the training rows.

    Args:
        name: Name of the source, for errors.
        conversations: Its rows.
        weight: Its share of the training rows, relative to the other weights; `None` means 1 where another source has
            a weight, else all of its rows.
        rows: Number of its training rows, instead of a weight.
    """

    name: str
    conversations: Sequence[Conversation]
    weight: float | None = None
    rows: int | None = None


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
    shares: Sequence[Share] = (),
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

    Several training sources (`shares`) are each split in this way. A held-out part without a source of its own takes
    rows of each in proportion to its training rows as asked for. The training rows of all are then ordered together.

    Args:
        conversations: Rows of the training part, and of held-out parts without a source of their own; those of all
            `shares` if there are some.
        validation: Exact number of validation rows.
        test: Exact number of test rows.
        seed: Seed of the split.
        train: Maximum number of training rows; `None` means all.
        usable: Whether a row can be used; others are skipped. Called only for the rows that are needed.
        validation_from: Source of the validation rows; `None` means `conversations`.
        test_from: Source of the test rows; `None` means `conversations`. It may be the same object as
            `validation_from`.
        shares: Several sources of the training part; empty for one.

    Raises:
        TooFewRowsError: There are too few rows.
        QweftError: A number is out of range.
    """
    for key, asked_for, least in (("validation", validation, 0), ("test", test, 0), ("train", train, 1)):
        if asked_for is not None and asked_for < least:
            raise QweftError(f"data.{key}_rows must be at least {least}, got {asked_for}")
    own = {"train": conversations, "validation": validation_from, "test": test_from}
    rows = {part: conversations if other is None else other for part, other in own.items()}
    mixed = shares or [Share("", conversations)]
    asked = proportions(mixed)

    def held_out(part: str, wanted: int) -> Iterator[tuple[Sequence[Conversation], int]]:
        if rows[part] is conversations:
            yield from zip((each.conversations for each in mixed), allotted(wanted, asked), strict=True)
        else:
            yield rows[part], wanted

    # Try with the spread first, then without: uneven groups may give too few rows with it.
    for spread in (GROUPS, 1):
        elsewhere = [each for each in rows.values() if each is not conversations]
        pools = {id(each): _Pool(each, seed, spread) for each in (*(one.conversations for one in mixed), *elsewhere)}
        tested, validated = (
            [row for source, count in held_out(part, wanted) for row in _hold_out(pools, source, count, usable)]
            for part, wanted in (("test", test), ("validation", validation))
        )
        left = [pools[id(each.conversations)] for each in mixed]
        chosen = _mix([pool.groups for pool in left], mixed, seed, train, usable)
        if len(tested) == test and len(validated) == validation and chosen:
            left_over, elsewhere_asked = (sum(getattr(pool, name) for pool in left) for name in LEFT)
            return Split(tuple(chosen), tuple(validated), tuple(tested), left_over, elsewhere_asked)
    of_one = _too_few_of_one(shares, allotted(validation, asked), allotted(test, asked), usable)
    raise of_one or _too_few(rows, validation, test, usable)


LEFT = ("left_over", "asked_elsewhere")


def proportions(shares: Sequence[Share]) -> list[float]:
    """Return the number of training rows that each source is asked for, before any is held out.

    Sources with weights w_i give n w_i rows each, with the largest n for which no source of n_i rows gives more.
    """
    weights = _weights(shares)
    most = min((len(each.conversations) / w for each, w in zip(shares, weights, strict=True) if w), default=0.0)
    return [each.rows or (most * w if w else len(each.conversations)) for each, w in zip(shares, weights, strict=True)]


def _weights(shares: Sequence[Share]) -> list[float]:
    """Return the weight of each source; 0 for one with a number of rows, and for all where none has a weight."""
    weighted = any(each.weight is not None for each in shares)
    return [0.0 if each.rows is not None or not weighted else each.weight or 1.0 for each in shares]


def allotted(total: int, by: Sequence[float]) -> list[int]:
    """Return whole numbers with a sum, in proportion to others: rounded down, then the largest remainders up.

    >>> allotted(10, [2, 1]), allotted(3, [1, 1])
    ([7, 3], [2, 1])
    """
    exact = [total * share / sum(by) for share in by]
    found = [int(each) for each in exact]
    upwards = sorted(range(len(by)), key=lambda place: found[place] - exact[place])
    for place in upwards[: total - sum(found)]:
        found[place] += 1
    return found


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
    pools: Sequence[Iterable[list[Conversation]]],
    shares: Sequence[Share],
    seed: int,
    most: int | None,
    usable: Callable[[Conversation], bool],
) -> list[Conversation]:
    """Return usable rows in a shuffled order: of each source as many as its share, at most `most` in all.

    Raises:
        TooFewRowsError: A source has fewer rows than it is asked for, or none for its weight.
    """
    ranked = [_ranked(groups, seed) for groups in pools]
    weights = _weights(shares)
    if len(shares) > 1 and (any(weights) or any(each.rows for each in shares)):
        fixed = [
            list(islice((one for one in rows if usable(one[1])), each.rows)) if each.rows else []
            for rows, each in zip(ranked, shares, strict=True)
        ]
        for each, found in zip(shares, fixed, strict=True):
            if each.rows and len(found) < each.rows:
                raise TooFewRowsError(
                    f"data.sources: {each.name} gives {len(found):,} training rows beside what is held out, and "
                    f"{each.rows:,} are asked for; lower its rows"
                )
        room = None if most is None else most - sum(map(len, fixed))
        if any(weights):
            ranked = [
                found or rows
                for found, rows in zip(fixed, _weighted(ranked, shares, weights, room, usable), strict=True)
            ]
        else:
            free = sorted(
                (one for rows, found in zip(ranked, fixed, strict=True) if not found for one in rows), key=_first
            )
            ranked = [*fixed, list(islice((one for one in free if usable(one[1])), room))]
        most = None
    together = sorted((one for rows in ranked for one in rows), key=_first)
    return [row for _, row in islice((one for one in together if usable(one[1])), most)]


Ranked = list[tuple[str, Conversation]]
"""Rows with their ranks, in the order of the ranks."""


def _first(ranked: tuple[str, Conversation]) -> str:
    return ranked[0]


def _ranked(groups: Iterable[list[Conversation]], seed: int) -> Ranked:
    ranked = [
        (_rank(seed, f"{conversation.group}\n{number}"), conversation)
        for group in groups
        for number, conversation in enumerate(group)
    ]
    return sorted(ranked, key=_first)


def _weighted(
    ranked: Sequence[Ranked],
    shares: Sequence[Share],
    weights: Sequence[float],
    room: int | None,
    usable: Callable[[Conversation], bool],
) -> list[Ranked]:
    """Return the first rows of each source in proportion to its weight, as many as every source can give."""
    good = [[one for one in rows if usable(one[1])] if w else [] for rows, w in zip(ranked, weights, strict=True)]
    total = int(min(len(rows) * sum(weights) / w for rows, w in zip(good, weights, strict=True) if w) + 1e-9)
    counts = allotted(total if room is None else min(total, room), weights)
    for each, rows, w, count in zip(shares, good, weights, counts, strict=True):
        if w and not count:
            raise TooFewRowsError(
                f"data.sources: {each.name} has {len(rows):,} training rows beside what is held out, and gives none by "
                f"its weight ({w:g} of {sum(weights):g}); change the weights, or give more data"
            )
    return [rows[:count] for rows, count in zip(good, counts, strict=True)]


def _rank(seed: int, name: str) -> str:
    return hashlib.sha256(f"{seed}\n{name}".encode()).hexdigest()


def _counts(rows: Sequence[Conversation], usable: Callable[[Conversation], bool]) -> tuple[int, int]:
    """Return the number of usable rows, and that of their groups."""
    good = [row.group for row in rows if usable(row)]
    return len(good), len(set(good))


def _too_few_of_one(
    shares: Sequence[Share], validation: Sequence[int], test: Sequence[int], usable: Callable[[Conversation], bool]
) -> TooFewRowsError | None:
    """Return the error for the first of several sources that cannot give its part of the held-out rows."""
    for each, validated, tested in zip(shares, validation, test, strict=bool(shares)):
        good, groups = _counts(each.conversations, usable)
        if good <= validated + tested or groups < (validated > 0) + (tested > 0):
            return TooFewRowsError(
                f"data.sources: {each.name} gives {good:,} usable rows in {groups:,} groups, and by its share "
                f"{tested:,} test rows, {validated:,} validation rows and a training row are asked of it, of different "
                "groups: lower data.test_rows and data.validation_rows, change the weights, or give more data"
            )
    return None


def _too_few(
    rows: Mapping[str, Sequence[Conversation]],
    validation: int,
    test: int,
    usable: Callable[[Conversation], bool],
) -> TooFewRowsError:
    conversations = rows["train"]
    asked = {"test": test, "validation": validation}
    for part, wanted in asked.items():
        other = rows[part]
        shared = validation if part == "test" and rows["validation"] is other else 0
        good, groups = (0, 0) if other is conversations else _counts(other, usable)
        if other is not conversations and good < wanted + shared:
            also = f" and {shared} validation rows" if shared else ""
            return TooFewRowsError(
                f"{wanted} {part} rows{also} are asked for, and data.{part}_source gives {good} usable ones in "
                f"{groups} groups: lower data.{part}_rows, or give more data"
            )
    good, groups = _counts(conversations, usable)
    held_out = sum(wanted > 0 and rows[part] is conversations for part, wanted in asked.items())
    way = "lower data.test_rows and data.validation_rows, or give more data"
    if groups <= held_out < good:
        way = (
            "rows with one prompt, or one name in the column group, stay in one part; name more groups in that column, "
            "or give other data as data.test_source and data.validation_source"
        )
    return TooFewRowsError(
        f"{test} test rows, {validation} validation rows and at least one training row are asked for, of different "
        f"groups; the data give {good} usable rows in {groups} groups: {way}"
    )
