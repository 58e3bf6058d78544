"""What is measured where not everything fits."""

import numpy as np
import pytest
import torch

from qweft.evaluation.noise.sample import ChosenTokens, Wanted


def rows_of(*lengths):
    draws = np.random.default_rng(0)
    return [{"input_ids": (ids := draws.integers(1, 50, n).tolist()), "labels": ids} for n in lengths]


def draw(rows, answers=(), a_token=1, cap=None, seed=0, once=0, batch=4):
    calls = [[tokens - 3, 1, 1, 1] for tokens in answers]
    return Wanted(rows, "all", calls, batch, a_token, once).draw(cap, seed)


def test_without_a_cap_everything_is_measured():
    sample = draw(rows_of(5, 7, 9), [10, 12], a_token=4)
    assert sample.rows == (0, 1, 2) and sample.answers == 2 and sample.kind == "all"
    assert [len(places) for places in sample.tokens] == [4, 6, 8]  # nothing reads the last token
    assert sample.circuits == 4 * (4 + 6 + 8 + 10 + 12)
    assert sample == draw(rows_of(5, 7, 9), [10, 12], 4, sample.circuits, seed=1)


@pytest.mark.parametrize("cap", [120, 150, 200, 300, 400])
@pytest.mark.parametrize("seed", range(2))
def test_as_many_rows_as_fit_and_never_more(cap, seed):
    sample = draw(rows_of(*[11] * 20), [12, 12, 12], 2, cap, seed)
    answers = min(3, cap // 2 // 24)
    assert sample.answers == answers
    assert len(sample.rows) == (cap - 24 * answers) // 20
    assert sample.circuits == 20 * len(sample.rows) + 24 * answers <= cap


@pytest.mark.parametrize("cap", [6, 13, 30])
def test_single_tokens_where_no_two_rows_fit(cap):
    rows = rows_of(*[11] * 20)
    sample = draw(rows, [5], 3, cap)
    assert sample.kind == "drawn" and sample.answers == 0
    assert len(sample.rows) == 8
    assert sum(map(len, sample.tokens)) == cap // 3
    assert sample.circuits == 3 * (cap // 3)
    some = cap // 3
    assert sample.describe(rows) == f"{some} tokens drawn from 8 rows measured, the other {88 - some} computed exactly"


def test_calls_hold_the_longest_rows_first_and_each_new_token_by_itself():
    assert draw(rows_of(6, 10, 8), [10], batch=2).calls == (16, 5, 7, 1, 1, 1)  # a prompt of 7, and 3 that are read
    tokens = draw(rows_of(*[11] * 20), a_token=2, cap=19, batch=3)
    assert sum(tokens.calls) == 9 and 0 not in tokens.calls and len(tokens.calls) <= 3


def test_chosen_tokens_are_found_in_any_batch_and_order():
    rows = rows_of(6, 4, 5)
    rows[1] = {"input_ids": rows[0]["input_ids"][:4], "labels": rows[0]["labels"][:4]}  # the beginning of another
    choose = ChosenTokens(rows, [(0, 5), (2,), ()], 0, "targets")
    batch = torch.zeros(5, 8, dtype=torch.long)
    for place, row in enumerate((2, 1, 0)):
        ids = torch.tensor(rows[row]["input_ids"])
        batch[place, : len(ids)] = ids
    batch[3, :4] = 63  # a prompt
    batch[4] = torch.tensor([*rows[0]["input_ids"], 63, 63])  # one that begins with a row
    assert choose(batch).nonzero().tolist() == [[1, 2], [2, 0], [2, 5], [3, 7], [4, 7]]
    assert ChosenTokens(rows, [(0, 5), (2,), ()], 0, "all")(batch)[3].all()


def test_tokens_that_predict_targets():
    rows = [{"input_ids": [1, 2, 3, 4, 5], "labels": [-100, -100, 3, -100, 5]}, *rows_of(3)]
    sample = Wanted(rows, "targets", [[6, 1, 1, 1]], 2, 3, 0).draw(None, 0)
    assert sample.tokens == ((1, 3), (0, 1)) and sample.calls == (4, 1, 1, 1, 1) and sample.circuits == 3 * 8
    assert sample.describe(rows) == (
        "all 2 rows, their 4 tokens that predict a target measured, the other 4 computed exactly, 1 answer"
    )
