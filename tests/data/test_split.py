from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qweft.core.errors import QweftError
from qweft.data.conversation import Conversation, Message
from qweft.data.sources import Source
from qweft.data.split.pool import LEFT_OVER
from qweft.data.split.split import SplitSizes
from qweft.data.split.split import split as split_shares


def split(data, validation, test, seed, train=None, usable=lambda _: True):
    return split_shares([Source("rows", data)], SplitSizes(train, validation, test), seed, usable)


def rows(sizes):
    return [
        Conversation((Message("user", f"{group}"), Message("assistant", f"{number}")), f"g{group}")
        for group, size in enumerate(sizes)
        for number in range(size)
    ]


@settings(max_examples=150, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 12), min_size=1, max_size=60),
    validation=st.integers(0, 20),
    test=st.integers(0, 20),
    seed=st.integers(0, 3),
)
def test_sizes_are_exact_and_no_group_is_on_two_sides(sizes, validation, test, seed):
    data = rows(sizes)
    try:
        parts = split(data, validation, test, seed)
    except QweftError:
        # Only where groups cannot be dealt out: all of them are needed, or there are fewer rows than asked for.
        # Any group held out takes its rest with it, at most 11 rows, twice.
        assert len(data) <= validation + test + 2 * (max(sizes) - 1) + max(sizes)
        return
    assert (len(parts.validation), len(parts.test)) == (validation, test)
    assert parts.train
    sides = [{row.group for row in part} for part in (parts.train, parts.validation, parts.test)]
    assert sum(map(len, sides)) == len(set.union(*sides))
    left_over = parts.left_out[LEFT_OVER]
    assert len(data) == len(parts.train) + validation + test + left_over
    assert len({*parts.train, *parts.validation, *parts.test}) == len(data) - left_over
    assert parts == split(data, validation, test, seed)


@given(seed=st.integers(0, 20), order=st.randoms())
@settings(deadline=None, max_examples=30)
def test_the_test_rows_depend_on_nothing_else(seed, order):
    data = rows([1] * 80)
    shuffled = list(data)
    order.shuffle(shuffled)
    full = split(data, 10, 10, seed)
    assert full.test == split(data, 3, 10, seed, train=5).test
    assert full == split(shuffled, 10, 10, seed)
    assert split(data, 10, 10, seed, train=7).train == full.train[:7]


def test_held_out_rows_are_spread_over_sixteen_groups():
    parts = split(rows([20] * 85), 64, 64, 0)
    assert Counter(Counter(row.group for row in parts.test).values()) == {4: 16}
    assert Counter(Counter(row.group for row in parts.validation).values()) == {4: 16}
    assert parts.left_out == {LEFT_OVER: 2 * 16 * 16}


def test_unusable_rows_are_passed_over_and_only_needed_ones_looked_at():
    data = rows([1] * 500)
    seen = []

    def usable(row):
        seen.append(row)
        return int(row.group[1:]) % 2 == 0

    parts = split(data, 10, 10, 0, train=10, usable=usable)
    assert [len(part) for part in (parts.train, parts.validation, parts.test)] == [10, 10, 10]
    assert all(int(row.group[1:]) % 2 == 0 for row in (*parts.train, *parts.validation, *parts.test))
    assert len(seen) < 200


@pytest.mark.parametrize(
    ("sizes", "validation", "test", "words"),
    [
        ([1] * 10, 5, 5, "gives 10 usable rows in 10 groups"),
        ([10, 10, 10], 6, 15, "too few for 6 validation rows"),
    ],
)
def test_too_few_rows(sizes, validation, test, words):
    with pytest.raises(QweftError) as fault:
        split(rows(sizes), validation, test, 0)
    assert words in str(fault.value)
