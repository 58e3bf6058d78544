import torch

from qweft.data.batches import Collator
from qweft.data.tokens import IGNORED


def test_padding_is_on_the_right_and_masked_by_length_not_by_token():
    end = 1
    rows = [
        {"input_ids": [7, 8, end], "labels": [IGNORED, 8, end]},
        {"input_ids": [9, end, 5, 6, end], "labels": [IGNORED, IGNORED, 5, 6, end]},
    ]
    batch = Collator(pad_token_id=end)(rows)
    assert batch["input_ids"].tolist() == [[7, 8, end, end, end], [9, end, 5, 6, end]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]
    # The end of each answer is a target although it equals the pad token; padding never is.
    assert batch["labels"].tolist() == [[IGNORED, 8, end, IGNORED, IGNORED], [IGNORED, IGNORED, 5, 6, end]]
    assert {tensor.dtype for tensor in batch.values()} == {torch.int64}
