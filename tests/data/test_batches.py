"""Rows padded to one length."""

import pytest
import torch

from qweft.data.batches import Collator
from qweft.data.tokens import IGNORED

END = 1
ROWS = [
    {"input_ids": [7, 8, END], "labels": [IGNORED, 8, END]},
    {"input_ids": [9, END, 5, 6, END], "labels": [IGNORED, IGNORED, 5, 6, END]},
]


@pytest.fixture
def batch():
    return Collator(pad_token_id=END)(ROWS)


def test_padding_is_on_the_right(batch):
    assert batch["input_ids"].tolist() == [[7, 8, END, END, END], [9, END, 5, 6, END]]
    assert {tensor.dtype for tensor in batch.values()} == {torch.int64}


def test_the_mask_comes_from_lengths_not_from_tokens(batch):
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]


def test_the_end_of_an_answer_is_learned_although_it_equals_the_pad_token(batch):
    assert batch["labels"].tolist() == [[IGNORED, 8, END, IGNORED, IGNORED], [IGNORED, IGNORED, 5, 6, END]]
