"""Split of one source by group: exact, repeatable, and spread over many groups."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qweft.core.errors import QweftError
from qweft.data.conversation import Conversation, Message
from qweft.data.sources import Source
from qweft.data.split.pool import LEFT_OVER
from qweft.data.split.split import SplitSizes, split


def split_rows(rows, validation, test, seed=0, train=None, is_usable=lambda _: True):
    return split([Source("rows", rows)], SplitSizes(train, validation, test), seed, is_usable)


def grouped_rows(sizes):
    """Rows in groups of these sizes; those of a group ask the same."""
    rows = []
    for group, size in enumerate(sizes):
        for number in range(size):
            messages = (Message("user", f"{group}"), Message("assistant", f"{number}"))
            rows.append(Conversation(messages, f"g{group}"))
    return rows


@settings(max_examples=150, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 12), min_size=1, max_size=60),
    validation=st.integers(0, 20),
    test=st.integers(0, 20),
    seed=st.integers(0, 3),
)
def test_sizes_are_exact_and_no_group_is_in_two_parts(sizes, validation, test, seed):
    rows = grouped_rows(sizes)
    try:
        parts = split_rows(rows, validation, test, seed)
    except QweftError:
        # Only where groups cannot be dealt out: all of them are needed, or there are fewer rows than asked for.
        # Any group held out takes its rest with it, at most 11 rows, twice.
        assert len(rows) <= validation + test + 2 * (max(sizes) - 1) + max(sizes)
        return
    assert (len(parts.validation), len(parts.test)) == (validation, test)
    assert parts.train
    groups = [{row.group for row in part} for part in parts.conversations.values()]
    assert sum(map(len, groups)) == len(set.union(*groups))
    taken = [row for part in parts.conversations.values() for row in part]
    assert len(taken) == len(set(taken)) == len(rows) - parts.left_out[LEFT_OVER]
    assert parts == split_rows(rows, validation, test, seed)


@given(seed=st.integers(0, 20), order=st.randoms())
@settings(deadline=None, max_examples=30)
def test_the_test_rows_depend_on_nothing_else(seed, order):
    rows = grouped_rows([1] * 80)
    parts = split_rows(rows, 10, 10, seed)
    assert parts.test == split_rows(rows, 3, 10, seed, train=5).test
    assert parts.train[:7] == split_rows(rows, 10, 10, seed, train=7).train
    shuffled = list(rows)
    order.shuffle(shuffled)
    assert parts == split_rows(shuffled, 10, 10, seed)


def test_held_out_rows_are_spread_over_sixteen_groups():
    parts = split_rows(grouped_rows([20] * 85), 64, 64)
    for part in (parts.test, parts.validation):
        rows_by_group = Counter(row.group for row in part)
        assert list(rows_by_group.values()) == [4] * 16
    assert parts.left_out == {LEFT_OVER: 2 * 16 * 16}


def test_unusable_rows_are_passed_over():
    parts = split_rows(grouped_rows([1] * 500), 10, 10, train=10, is_usable=is_even)
    for part in parts.conversations.values():
        assert len(part) == 10
        assert all(map(is_even, part))


def is_even(row):
    return int(row.group.removeprefix("g")) % 2 == 0


def test_no_more_rows_are_looked_at_than_needed():
    looked_at = []

    def is_usable(row):
        looked_at.append(row)
        return is_even(row)

    split_rows(grouped_rows([1] * 500), 10, 10, train=10, is_usable=is_usable)
    assert len(looked_at) < 200


@pytest.mark.parametrize(
    ("sizes", "validation", "test", "problem"),
    [
        ([1] * 10, 5, 5, "gives 10 usable rows in 10 groups"),
        ([10, 10, 10], 6, 15, "too few for 6 validation rows"),
    ],
)
def test_too_few_rows(sizes, validation, test, problem):
    with pytest.raises(QweftError) as fault:
        split_rows(grouped_rows(sizes), validation, test)
    assert problem in str(fault.value)
