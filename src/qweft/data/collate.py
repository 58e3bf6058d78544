"""Rows of different length as one batch."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from qweft.data.tokens import IGNORED, Encoded


@dataclass(frozen=True)
class Collator:
    """Pads on the right to the longest row of a batch.

    The mask follows from the lengths: a tokenizer may pad with its end token, and the end of an answer must be seen
    and learned.

    Args:
        pad_token_id: Written into `input_ids` where a row has ended.
    """

    pad_token_id: int

    def __call__(self, rows: Sequence[Encoded]) -> dict[str, torch.Tensor]:
        """Return `input_ids`, `attention_mask` (1 where there is text) and `labels`, each B x T of int64."""
        longest = max(len(row["input_ids"]) for row in rows)
        shape = (len(rows), longest)
        batch = {
            "input_ids": torch.full(shape, self.pad_token_id),
            "attention_mask": torch.zeros(shape, dtype=torch.int64),
            "labels": torch.full(shape, IGNORED),
        }
        for place, row in enumerate(rows):
            length = len(row["input_ids"])
            batch["input_ids"][place, :length] = torch.tensor(row["input_ids"])
            batch["attention_mask"][place, :length] = 1
            batch["labels"][place, :length] = torch.tensor(row["labels"])
        return batch
