"""Split of conversations into training, validation and test parts, by group."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from qweft.core.errors import QweftError
from qweft.core.text import join_names
from qweft.data.conversation import Conversation
from qweft.data.sources import Source
from qweft.data.split.mixture import allot, mix, weights_of
from qweft.data.split.pool import GroupPool, IsUsable

MANY_GROUPS = 16
"""Minimum number of groups in a held-out part, if there are enough."""


class SplitSizes(NamedTuple):
    """Rows of each part; `None` means all that are not held out."""

    train: int | None
    validation: int
    test: int


@dataclass(frozen=True)
class Split:
    """Parts that share no group, and the numbers of rows left out by reason."""

    train: list[Conversation]
    validation: list[Conversation]
    test: list[Conversation]
    left_out: Counter[str]

    @property
    def conversations(self) -> dict[str, list[Conversation]]:
        """The rows by part."""
        return {"train": self.train, "validation": self.validation, "test": self.test}


def split(
    shares: Sequence[Source],
    sizes: SplitSizes,
    seed: int,
    is_usable: IsUsable = lambda _: True,
    elsewhere: Mapping[str, Source] | None = None,
) -> Split:
    """Split by group, in order of sha256(seed, group): test takes rows first, then validation, then training.

    `shares` are the sources of the training rows, and `elsewhere` those of held-out parts that have their own.
    """
    elsewhere = elsewhere or {}
    sources = list(dict.fromkeys([*shares, *elsewhere.values()]))
    test_rows = _rows_by_source("test", sizes.test, shares, elsewhere)
    validation_rows = _rows_by_source("validation", sizes.validation, shares, elsewhere)
    for groups_per_part in (MANY_GROUPS, 1):  # uneven groups can leave too few rows for the wider draw
        pools = {source: GroupPool(source.conversations, seed, groups_per_part) for source in sources}
        # test first: its rows depend on no other size
        test = _draw(pools, test_rows, is_usable)
        validation = _draw(pools, validation_rows, is_usable)
        remaining = {source: pools[source] for source in shares}
        train = mix(remaining, seed, sizes.train, is_usable)
        if train and len(test) == sizes.test and len(validation) == sizes.validation:
            left_out = sum((pool.left_out for pool in remaining.values()), Counter[str]())
            return Split(train, validation, test, left_out)
    raise _too_few_rows(shares, sources, sizes, is_usable)


def _rows_by_source(
    part: str, size: int, shares: Sequence[Source], elsewhere: Mapping[str, Source]
) -> dict[Source, int]:
    """Return how many rows a held-out part takes of each source: of its own, or in proportion to the training rows."""
    if part in elsewhere:
        return {elsewhere[part]: size}
    return dict(zip(shares, allot(size, _expected_rows(shares)), strict=True))


def _expected_rows(shares: Sequence[Source]) -> list[float]:
    """Return the training rows of each source before anything is held out.

    For weights w_i these are n w_i, with the largest n that no source exceeds.
    """
    weights = weights_of(shares)
    largest = min((len(source.conversations) / weight for source, weight in weights.items() if weight), default=0.0)
    expected: list[float] = []
    for source, weight in weights.items():
        if source.rows:
            expected.append(source.rows)
        elif weight:
            expected.append(largest * weight)
        else:
            expected.append(len(source.conversations))
    return expected


def _draw(
    pools: Mapping[Source, GroupPool], rows_by_source: Mapping[Source, int], is_usable: IsUsable
) -> list[Conversation]:
    """Draw a held-out part; other sources lose the rows that ask the same."""
    drawn: list[Conversation] = []
    for source, count in rows_by_source.items():
        rows = pools[source].draw(count, is_usable)
        drawn += rows
        for pool in pools.values():
            if rows and pool is not pools[source]:
                pool.remove_related(rows)
    return drawn


def _too_few_rows(
    shares: Sequence[Source], sources: Sequence[Source], sizes: SplitSizes, is_usable: IsUsable
) -> QweftError:
    groups = [row.group for source in sources for row in source.conversations if is_usable(row)]
    return QweftError(
        f"data {join_names([source.name for source in shares])} gives {len(groups):,} usable rows in "
        f"{len(set(groups)):,} groups, too few for {sizes.validation:,} validation rows, {sizes.test:,} test "
        "rows and training rows of different groups: hold out fewer (data.test_rows, data.validation_rows, "
        "evaluation.forgetting_rows), raise data.max_length if rows are too long for it, or give more data"
    )
