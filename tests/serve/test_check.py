"""What `make serve-check` computes by itself; the servers are its own business."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from benchmarks.serving.check import TOLERANCE, Row, farthest, prefixes, said, table, tie

RIGHT = Row("qtha", "an engine", "gguf", 1e-4, 0.5, 1.0, 6, 6, 0.0, 0, 0.9)


@pytest.mark.parametrize(
    "changes",
    [
        {"same_export": 2 * TOLERANCE},
        {"itself": 1.1},
        {"widest_tie": 3 * TOLERANCE},
        {"other_tokens": 1},
        {"itself": float("nan")},
    ],
)
def test_a_row_is_wrong_beyond_any_bound(changes):
    assert RIGHT.is_right
    assert not replace(RIGHT, **changes).is_right


class Counting:
    """A model whose next token is the last one's successor, of 8."""

    def __call__(self, input_ids):
        logits = torch.zeros(*input_ids.shape, 8)
        logits.scatter_(-1, ((input_ids + 1) % 8)[..., None], 5.0)
        return SimpleNamespace(logits=logits)


def test_the_farthest_token_counts():
    own = torch.tensor([0.0] * 8)
    own[3] = 5.0
    own = own.log_softmax(-1)
    assert farthest(Counting(), [[1, 2]], [{"3": own[3].item(), "0": own[0].item() - 0.25}]) == pytest.approx(0.25)


def test_the_gap_where_two_answers_part():
    assert tie(Counting(), [1], [2, 3], [2, 5], end=7) == pytest.approx(5)
    assert tie(Counting(), [1], [2, 3], [2], end=7) == pytest.approx(5)  # the other one ended


def test_texts_end_before_the_first_and_the_last_learned_token():
    row = {"input_ids": [5, 6, 7, 8, 9], "labels": [-100, -100, 7, 8, 9]}
    assert list(prefixes([row])) == [[5, 6], [5, 6, 7, 8]]


def test_the_table_has_a_line_for_each_row():
    assert len(table([RIGHT, RIGHT]).splitlines()) == 4


def test_a_lora_that_needs_no_export_differs_by_nothing():
    reports = {"gguf": {"largest_logit_change": 0.5, "kept_share": 0.9}}
    assert said(reports, "gguf")["largest_logit_change"] == 0.5
    assert said(reports, "lora") == {"largest_logit_change": 0.0, "kept_share": 1.0}
