"""Split of conversations into training, validation and test parts, by group."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from operator import itemgetter

from qweft.core.errors import QweftError
from qweft.core.text import listed
from qweft.data.config import HELD_OUT
from qweft.data.conversation import Conversation
from qweft.data.turns import RowError

GROUPS = 16
"""Minimum number of groups in a held-out part, if there are enough: 64 rows of two templates test two templates."""
LEFT_OVER = "left over from groups held out"
ASKED_ELSEWHERE = "whose group or prompt is held out in another source"
Usable = Callable[[Conversation], bool]
Rank = tuple[str, Conversation]


@dataclass(eq=False)
class Source:
    """A source with its weight or number of rows as in `SourceConfig`; its rows, and what was seen in reading."""

    name: str
    conversations: list[Conversation] = field(default_factory=list)
    weight: float | None = None
    rows: int | None = None
    skipped: list[RowError] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    formats: Counter[str] = field(default_factory=Counter)
    unread: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Split:
    """Parts that share no group, and the numbers of rows left out by reason."""

    train: list[Conversation]
    validation: list[Conversation]
    test: list[Conversation]
    left_out: Counter[str]


def split(
    shares: Sequence[Source],
    rows: Mapping[str, int | None],
    seed: int,
    usable: Usable = lambda _: True,
    elsewhere: Mapping[str, Source] | None = None,
) -> Split:
    """Split by group, in order of sha256(seed, group): test takes rows first, then validation, then training."""
    wanted = {part: rows[part] or 0 for part in HELD_OUT}
    own = elsewhere or {}
    sources = dict.fromkeys((*shares, *own.values()))
    # rows asked of each source: n w_i for weights w_i, with the largest n that no source exceeds
    weights, sizes = _weights(shares), [len(each.conversations) for each in shares]
    most = min((size / w for size, w in zip(sizes, weights, strict=True) if w), default=0.0)
    asked = [each.rows or (most * w if w else size) for each, w, size in zip(shares, weights, sizes, strict=True)]
    # Try with the spread first, then without: uneven groups may give too few rows with it.
    for spread in (GROUPS, 1):
        pools = {source: _Pool(source.conversations, seed, spread) for source in sources}
        held_out: dict[str, list[Conversation]] = {"test": [], "validation": []}
        for part, taken in held_out.items():
            given = [own[part]] if part in own else shares
            counts = [wanted[part]] if part in own else allotted(wanted[part], asked)
            for source, count in zip(given, counts, strict=True):
                rows_taken = pools[source].take(count, usable)
                groups, prompts = {row.group for row in rows_taken}, {row.asked for row in rows_taken}
                for other, pool in pools.items():
                    if other != source and rows_taken:
                        pool.leave_out(groups, prompts)
                taken += rows_taken
        left = [pools[each] for each in shares]
        train = _mix([pool.groups for pool in left], shares, seed, rows["train"], usable)
        if train and all(len(held_out[part]) == wanted[part] for part in HELD_OUT):
            return Split(train, **held_out, left_out=sum((pool.left_out for pool in left), Counter[str]()))
    usable_in = [row.group for source in sources for row in source.conversations if usable(row)]
    raise QweftError(
        f"data {listed([each.name for each in shares])} gives {len(usable_in):,} usable rows in "
        f"{len({*usable_in}):,} groups, too few for {wanted['validation']:,} validation rows, {wanted['test']:,} test "
        "rows and training rows of different groups: hold out fewer (data.test_rows, data.validation_rows, "
        "evaluation.forgetting_rows), raise data.max_length if rows are too long for it, or give more data"
    )


def _weights(shares: Sequence[Source]) -> list[float]:
    """Return the weight of each source; 0 for one with a number of rows, and for all where none has a weight."""
    weighted = any(each.weight is not None for each in shares)
    return [0.0 if each.rows is not None or not weighted else each.weight or 1.0 for each in shares]


def allotted(total: int, by: Sequence[float]) -> list[int]:
    """Return whole numbers with a sum, in proportion to others: rounded down, then the largest remainders up."""
    exact = [total * share / sum(by) for share in by]
    numbers = [int(each) for each in exact]
    upwards = sorted(range(len(by)), key=lambda place: numbers[place] - exact[place])
    for place in upwards[: total - sum(numbers)]:
        numbers[place] += 1
    return numbers


class _Pool:
    """The rows of one source that are in no part yet, by group in the order of the seed."""

    def __init__(self, conversations: Sequence[Conversation], seed: int, spread: int) -> None:
        groups: dict[str, list[Conversation]] = {}
        for conversation in conversations:
            groups.setdefault(conversation.group, []).append(conversation)
        self.groups = [groups[name] for name in sorted(groups, key=lambda name: _rank(seed, name))]
        self.spread = min(spread, max(1, len(self.groups) // 4))
        self.left_out: Counter[str] = Counter()

    def take(self, wanted: int, usable: Usable) -> list[Conversation]:
        """Take `wanted` rows from the first groups, at most ceil(wanted / spread) from each."""
        taken: list[Conversation] = []
        while len(taken) < wanted and self.groups:
            room = min(-(-wanted // self.spread), wanted - len(taken))
            for conversation in self.groups.pop(0):
                if room == 0:
                    self.left_out[LEFT_OVER] += 1
                elif usable(conversation):
                    taken.append(conversation)
                    room -= 1
        return taken

    def leave_out(self, groups: set[str], prompts: set[str]) -> None:
        """Remove the rows of these groups and those with these prompts."""
        before = sum(map(len, self.groups))
        kept = [[row for row in group if row.group not in groups and row.asked not in prompts] for group in self.groups]
        self.groups = [group for group in kept if group]
        self.left_out[ASKED_ELSEWHERE] += before - sum(map(len, self.groups))


def _mix(
    pools: Sequence[Iterable[list[Conversation]]],
    shares: Sequence[Source],
    seed: int,
    most: int | None,
    usable: Usable,
) -> list[Conversation]:
    """Return usable rows in a shuffled order: of each source as many as its share, at most `most` in all."""
    ranked: list[list[Rank]] = []  # by the hash of a row's group and its number in that
    for groups in pools:
        numbered = ((row, number) for group in groups for number, row in enumerate(group))
        ranked.append(sorted(((_rank(seed, f"{row.group}\n{n}"), row) for row, n in numbered), key=itemgetter(0)))
    counts = {place: each.rows for place, each in enumerate(shares) if each.rows and len(shares) > 1}
    room = None if most is None else most - sum(counts.values())
    weights = _weights(shares)
    if len(shares) > 1 and any(weights):
        usable_rows = [sum(usable(row) for _, row in rows) if w else 0 for rows, w in zip(ranked, weights, strict=True)]
        total = int(min(count * sum(weights) / w for count, w in zip(usable_rows, weights, strict=True) if w) + 1e-9)
        by_weight = allotted(total if room is None else min(total, room), weights)
        counts |= {place: by_weight[place] for place, w in enumerate(weights) if w}
    chosen: list[Rank] = []
    for place, count in counts.items():
        taken = list(islice((one for one in ranked[place] if usable(one[1])), count))
        if len(taken) < count or not count:
            raise QweftError(
                f"data.sources: {shares[place].name} has {len(ranked[place]):,} training rows, not {count:,}; give more"
            )
        chosen += taken
    free = sorted((one for place, rows in enumerate(ranked) if place not in counts for one in rows), key=itemgetter(0))
    chosen += islice((one for one in free if usable(one[1])), room)
    return [row for _, row in sorted(chosen, key=itemgetter(0))]


def _rank(seed: int, name: str) -> str:
    return hashlib.sha256(f"{seed}\n{name}".encode()).hexdigest()
