"""Collators: rows padded to one length, or several short rows packed into one."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from qweft.data.tokens import IGNORED, Encoded

Pack = list[Encoded]
"""Rows that stand one after the other in one row of a batch."""
SHORTEST_ROW = 2
"""Tokens of the shortest row: one that is learned, and one that predicts it."""


@dataclass(frozen=True)
class Collator:
    """Pads rows to the longest one; the mask comes from lengths, since an end token may pad and be learned."""

    pad_token_id: int

    def __call__(self, rows: Sequence[Encoded]) -> dict[str, torch.Tensor]:
        """Return `input_ids`, `attention_mask` (1 for text, 0 for padding) and `labels`, each B x T of int64."""
        batch = _lay_out([[row] for row in rows], self.pad_token_id)
        positions = batch.pop("position_ids")
        return batch | {"attention_mask": (positions >= 0).long()}


@dataclass(frozen=True)
class PackingCollator:
    """Lays packs out; each row's positions begin at 0, by which transformers keeps their tokens apart."""

    pad_token_id: int

    def __call__(self, packs: Sequence[Pack]) -> dict[str, torch.Tensor]:
        """Return `input_ids`, `position_ids` and `labels`, each B x T of int64."""
        batch = _lay_out(packs, self.pad_token_id)
        return batch | {"position_ids": batch["position_ids"].clamp(min=0)}


def _lay_out(packs: Sequence[Pack], pad_token_id: int) -> dict[str, torch.Tensor]:
    """Return ids, positions and labels of packs, padded on the right; the position of padding is -1."""
    lengths = [sum(len(row["input_ids"]) for row in pack) for pack in packs]
    shape = (len(packs), max(lengths))
    ids = torch.full(shape, pad_token_id)
    positions = torch.full(shape, -1)
    labels = torch.full(shape, IGNORED)
    for number, rows in enumerate(packs):
        start = 0
        for row in rows:
            length = len(row["input_ids"])
            span = slice(start, start + length)
            ids[number, span] = torch.tensor(row["input_ids"])
            positions[number, span] = torch.arange(length)
            # the first token of a row must not be learned from the last of the row before it
            labels[number, span] = torch.tensor([IGNORED, *row["labels"][1:]])
            start += length
    return {"input_ids": ids, "position_ids": positions, "labels": labels}


def pack(rows: Sequence[Encoded], length: int) -> list[Pack]:
    """Group rows into packs of at most `length` tokens by first-fit decreasing, which is deterministic."""
    sizes = [len(row["input_ids"]) for row in rows]
    longest_first = sorted(range(len(rows)), key=lambda number: -sizes[number])  # equal ones in their order
    packs: list[Pack] = []
    room: list[int] = []
    first_open = 0
    for number in longest_first:
        size = sizes[number]
        target = first_open
        while target < len(packs) and room[target] < size:
            target += 1
        if target == len(packs):
            packs.append([])
            room.append(length)
        packs[target].append(rows[number])
        room[target] -= size
        while first_open < len(packs) and room[first_open] < SHORTEST_ROW:
            first_open += 1
    return packs
