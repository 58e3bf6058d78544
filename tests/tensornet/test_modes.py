"""Modes for every size."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qweft.tensornet import choose_modes
from qweft.tensornet.modes import RECORDED


@pytest.mark.parametrize("size", sorted(RECORDED))
def test_recorded_modes_are_kept(size):
    assert choose_modes(size).modes == RECORDED[size]
    assert choose_modes(size).padded == size


@pytest.mark.parametrize(
    ("size", "modes"),
    [
        (576, (6, 6, 4, 4)),
        (192, (4, 4, 4, 3)),
        (896, (8, 7, 4, 4)),
        (1536, (8, 8, 6, 4)),
        (3072, (8, 8, 8, 6)),
        (1, (1, 1, 1, 1)),
        (2, (2, 1, 1, 1)),
    ],
)
def test_known_sizes(size, modes):
    assert choose_modes(size).modes == modes


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 60000))
def test_every_size_has_balanced_modes(size):
    modes = choose_modes(size)
    assert len(modes.modes) == 4
    assert math.prod(modes.modes) == modes.padded >= size
    assert list(modes.modes) == sorted(modes.modes, reverse=True)
    if size not in RECORDED:
        assert sum(modes.modes) <= 1.5 * 4 * modes.padded**0.25


def test_given_modes_are_checked():
    assert choose_modes(30, (4, 4, 2)).padding == 2
    with pytest.raises(ValueError, match=r"\[3, 3\] do not cover size 10"):
        choose_modes(10, (3, 3))
    with pytest.raises(ValueError, match="at least 1, got 0"):
        choose_modes(0)
