"""Training rows of one or several sources: by number, by weight, or all of them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from operator import itemgetter
from typing import TypeAlias

from qweft.core.errors import QweftError
from qweft.data.conversation import Conversation
from qweft.data.sources import Source
from qweft.data.split.pool import GroupPool, IsUsable, rank

RankedRow: TypeAlias = tuple[str, Conversation]
"""A row behind its rank, a hash of its group and its number there, by which training rows are shuffled."""


def mix(pools: Mapping[Source, GroupPool], seed: int, most: int | None, is_usable: IsUsable) -> list[Conversation]:
    """Return usable rows of the pools in a shuffled order, at most `most` in all.

    A source gives its number of rows, or rows in proportion to its weight. Without any weight the other sources give
    all of theirs.
    """
    ranked = {source: _rank_rows(pool, seed) for source, pool in pools.items()}
    numbers: dict[Source, int] = {}
    if len(ranked) > 1:  # a source alone gives all of its rows
        numbers = _rows_by_number(ranked)
        numbers |= _rows_by_weight(ranked, _room(most, numbers), is_usable)
    chosen: list[RankedRow] = []
    unlimited: list[RankedRow] = []
    for source, rows in ranked.items():
        if source in numbers:
            chosen += _take_exactly(numbers[source], source, rows, is_usable)
        else:
            unlimited += rows
    chosen += islice(_usable_rows(_sort(unlimited), is_usable), _room(most, numbers))
    return [row for _, row in _sort(chosen)]


def _room(most: int | None, numbers: Mapping[Source, int]) -> int | None:
    """Return how many rows may be added to those whose number is known; `None` without a limit."""
    return None if most is None else most - sum(numbers.values())


def _rows_by_number(sources: Iterable[Source]) -> dict[Source, int]:
    return {source: source.rows for source in sources if source.rows}


def _rank_rows(pool: GroupPool, seed: int) -> list[RankedRow]:
    """Return the rows of a pool by rank."""
    ranked: list[RankedRow] = []
    # by the number in its group, not by its text: equal rows are not drawn together
    for group in pool.groups:
        for number, row in enumerate(group):
            ranked.append((rank(seed, f"{row.group}\n{number}"), row))
    return _sort(ranked)


def _sort(rows: Iterable[RankedRow]) -> list[RankedRow]:
    return sorted(rows, key=itemgetter(0))  # by rank alone: conversations have no order


def _rows_by_weight(
    ranked: Mapping[Source, Sequence[RankedRow]], room: int | None, is_usable: IsUsable
) -> dict[Source, int]:
    """Return the rows of each source with a weight: of the largest mixture that they can fill, within `room`."""
    weights = {source: weight for source, weight in weights_of(ranked).items() if weight}
    if not weights:
        return {}
    total_weight = sum(weights.values())
    possible: list[float] = []
    for source, weight in weights.items():
        usable = sum(is_usable(row) for _, row in ranked[source])
        possible.append(usable * total_weight / weight)
    total = int(min(possible) + 1e-9)  # a quotient may be rounded to just below a whole number
    if room is not None:
        total = min(total, room)
    return dict(zip(weights, allot(total, list(weights.values())), strict=True))


def _take_exactly(number: int, source: Source, ranked: Sequence[RankedRow], is_usable: IsUsable) -> list[RankedRow]:
    """Return the first usable rows of a source; raise if there are too few."""
    taken = list(islice(_usable_rows(ranked, is_usable), number))
    if len(taken) < number or number == 0:
        raise QweftError(f"data.sources: {source.name} has {len(ranked):,} training rows, not {number:,}; give more")
    return taken


def _usable_rows(ranked: Iterable[RankedRow], is_usable: IsUsable) -> Iterator[RankedRow]:
    for entry in ranked:
        if is_usable(entry[1]):
            yield entry


def weights_of(sources: Iterable[Source]) -> dict[Source, float]:
    """Return the weight of each source; 0 for one with a number of rows, and for all where none has a weight."""
    sources = list(sources)
    has_weights = any(source.weight is not None for source in sources)
    weights: dict[Source, float] = {}
    for source in sources:
        is_weighted = has_weights and source.rows is None
        weights[source] = (source.weight or 1.0) if is_weighted else 0.0
    return weights


def allot(total: int, shares: Sequence[float]) -> list[int]:
    """Return whole numbers with a sum, in proportion to shares: rounded down, then the largest remainders up."""
    exact = [total * share / sum(shares) for share in shares]
    numbers = [int(value) for value in exact]
    by_remainder = sorted(range(len(shares)), key=lambda index: numbers[index] - exact[index])
    for index in by_remainder[: total - sum(numbers)]:
        numbers[index] += 1
    return numbers
