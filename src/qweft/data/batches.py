"""Collators: rows padded to one length, or several short rows packed into one."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from qweft.data.tokens import IGNORED, Encoded

Pack = list[Encoded]


@dataclass(frozen=True)
class Collator:
    """Pads rows to the longest one; the mask comes from lengths, since an end token may pad and be learned."""

    pad_token_id: int

    def __call__(self, rows: Sequence[Encoded]) -> dict[str, torch.Tensor]:
        """Return `input_ids`, `attention_mask` (1 for text, 0 for padding) and `labels`, each B x T of int64."""
        batch = _laid_out([[row] for row in rows], self.pad_token_id)
        batch["attention_mask"] = (batch.pop("position_ids") >= 0).long()
        return batch


def pack(rows: Sequence[Encoded], length: int) -> list[Pack]:
    """Group rows into packs of at most `length` tokens by first-fit decreasing, which is deterministic."""
    order = sorted(range(len(rows)), key=lambda i: (-len(rows[i]["input_ids"]), i))
    packs: list[Pack] = []
    room: list[int] = []
    first_open = 0
    for i in order:
        size = len(rows[i]["input_ids"])
        place = next((k for k in range(first_open, len(packs)) if room[k] >= size), None)
        if place is None:
            packs.append([])
            room.append(length)
            place = len(packs) - 1
        packs[place].append(rows[i])
        room[place] -= size
        while first_open < len(packs) and room[first_open] < 2:  # a row has at least two tokens
            first_open += 1
    return packs


@dataclass(frozen=True)
class PackingCollator:
    """Lays packs out; each row's positions begin at 0, by which transformers keeps their tokens apart."""

    pad_token_id: int

    def __call__(self, packs: Sequence[Pack]) -> dict[str, torch.Tensor]:
        """Return `input_ids`, `position_ids` and `labels`, each B x T of int64."""
        batch = _laid_out(packs, self.pad_token_id)
        return batch | {"position_ids": batch["position_ids"].clamp(min=0)}


def _laid_out(packs: Sequence[Pack], pad_token_id: int) -> dict[str, torch.Tensor]:
    shape = (len(packs), max(sum(len(row["input_ids"]) for row in one) for one in packs))
    # of padding the position is -1
    ids, labels, positions = (torch.full(shape, value) for value in (pad_token_id, IGNORED, -1))
    for place, one in enumerate(packs):
        at = 0
        for row in one:
            here = slice(at, at := at + len(row["input_ids"]))
            ids[place, here] = torch.tensor(row["input_ids"])
            positions[place, here] = torch.arange(len(row["input_ids"]))
            labels[place, here] = torch.tensor([IGNORED, *row["labels"][1:]])
    return {"input_ids": ids, "position_ids": positions, "labels": labels}
