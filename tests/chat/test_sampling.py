"""Draws against shares counted by hand."""

from collections import Counter

import pytest
import torch

from qweft.chat.answering import Sampler
from qweft.errors import QweftError

LOGITS = torch.tensor([0.5, 0.1, 0.25, 0.15]).log()


def counts(temperature, top_p, draws=20000, logits=LOGITS):
    sampler = Sampler(temperature, top_p, seed=0)
    return {token: count / draws for token, count in Counter(sampler.choose(logits) for _ in range(draws)).items()}


def test_without_temperature_the_most_probable_token():
    assert counts(0, 1.0, 5) == {0: 1.0}


@pytest.mark.parametrize(
    ("temperature", "top_p", "shares"),
    [
        (1.0, 1.0, {0: 0.5, 2: 0.25, 3: 0.15, 1: 0.1}),
        (1.0, 0.75, {0: 2 / 3, 2: 1 / 3}),
        (1.0, 0.76, {0: 0.5 / 0.9, 2: 0.25 / 0.9, 3: 0.15 / 0.9}),
        (1.0, 1e-9, {0: 1.0}),
        (0.5, 1.0, {0: 0.25 / 0.345, 2: 0.0625 / 0.345, 3: 0.0225 / 0.345, 1: 0.01 / 0.345}),
    ],
)
def test_shares(temperature, top_p, shares):
    found = counts(temperature, top_p)
    assert set(found) == set(shares)
    assert found == pytest.approx(shares, abs=0.015)


def test_a_tiny_temperature_is_greedy_and_no_number_overflows():
    assert counts(1e-300, 1.0, 5, torch.tensor([1e30, -1e30, 0.0])) == {0: 1.0}


def test_a_seed_repeats():
    def drawn(seed):
        sampler = Sampler(1.0, 1.0, seed)
        return [sampler.choose(LOGITS) for _ in range(50)]

    assert drawn(3) == drawn(3) != drawn(4)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_without_probabilities_nothing_is_drawn(value):
    with pytest.raises(QweftError, match="gives no probabilities for the next token"):
        Sampler(0.7, 1.0, seed=0).choose(torch.full((4,), value))
    assert Sampler(0.7, 1.0, seed=0).choose(torch.tensor([1.0, float("-inf")])) == 0
