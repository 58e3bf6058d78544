"""The most probable continuation of many prompts at once, the same as one by one."""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from qweft.errors import QweftError
from qweft.evaluation.mode import device_of

# Logits that differ by less than this share of the largest one may change places with the size of the batch. In
# float32 they were seen to move by 2e-6 of it; a row that comes this near to a tie is generated anew by itself.
NEAR = 1e-4


@dataclass(frozen=True)
class Continuation:
    """What a model adds to a prompt.

    Args:
        ids: New tokens, without the end token.
        is_cut: Whether the number of tokens ended it, and not an end token.
    """

    ids: list[int]
    is_cut: bool


def greedy(model: torch.nn.Module, prompt: Sequence[int], ends: set[int], max_new_tokens: int) -> Continuation:
    """The most probable continuation of one prompt, token by token: what all others are held against."""
    device = device_of(model)
    ids = torch.tensor([list(prompt)], device=device)  # (1, T), later (1, 1): the rest is in the cache
    cache = None
    new: list[int] = []
    while len(new) < max_new_tokens:
        output = model(input_ids=ids, past_key_values=cache, use_cache=True)
        cache = output.past_key_values
        token = int(output.logits[0, -1].argmax())
        if token in ends:
            return Continuation(new, is_cut=False)
        new.append(token)
        ids = torch.tensor([[token]], device=device)
    return Continuation(new, is_cut=True)


def greedy_together(
    model: torch.nn.Module, prompts: Sequence[Sequence[int]], ends: set[int], max_new_tokens: int, batch: int
) -> list[Continuation]:
    """The continuations that `greedy` gives, several prompts at a time.

    Prompts are padded on the left, with positions that leave the padding out. Sums of floats depend on the batch in
    their last digits, so a row in which the two most probable tokens come near to a tie is given to `greedy`.

    Args:
        model: The model, in evaluation mode, without gradients.
        prompts: Each at least one token.
        ends: Tokens that end a continuation.
        max_new_tokens: Most tokens of one.
        batch: Prompts at a time; 1 is `greedy` itself.

    Raises:
        QweftError: Several at a time, and the model computes in less than float32 or takes no positions: what a row
            gives would then depend on its neighbours.
    """
    if batch > 1:
        _check(model, batch)
    found: list[Continuation | None] = [None] * len(prompts)
    # the longest first: little padding, and a batch that does not fit in memory fails at once
    order = sorted(range(len(prompts)), key=lambda index: -len(prompts[index]))
    for start in range(0, len(order) if batch > 1 else 0, batch):
        chosen = order[start : start + batch]
        rows = _batch(model, [prompts[index] for index in chosen], ends, max_new_tokens)
        for index, row in zip(chosen, rows, strict=True):
            found[index] = row
    return [
        greedy(model, prompt, ends, max_new_tokens) if row is None else row
        for prompt, row in zip(prompts, found, strict=True)
    ]


def _check(model: torch.nn.Module, batch: int) -> None:
    dtype = next(model.parameters()).dtype
    way = "set evaluation.generation_batch to 1"
    if dtype not in (torch.float32, torch.float64):
        raise QweftError(
            f"evaluation.generation_batch {batch}: in {str(dtype).removeprefix('torch.')} an answer would depend on "
            f"the prompts beside it; {way}, or model.dtype to float32"
        )
    base: Any = model
    base = base.get_base_model() if hasattr(base, "get_base_model") else base
    if "position_ids" not in inspect.signature(base.forward).parameters:
        raise QweftError(
            f"evaluation.generation_batch {batch}: {type(base).__name__} takes no positions, so that an answer would "
            f"depend on its padding; {way}"
        )


def _batch(
    model: torch.nn.Module, prompts: Sequence[Sequence[int]], ends: set[int], max_new_tokens: int
) -> list[Continuation | None]:
    """The continuations of one batch; none for a row that came near to a tie."""
    device, longest = device_of(model), max(map(len, prompts))
    ids = torch.zeros(len(prompts), longest, dtype=torch.long, device=device)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, longest - len(prompt) :] = torch.tensor(list(prompt), device=device)
        mask[row, longest - len(prompt) :] = 1
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    cache = None
    new: list[list[int]] = [[] for _ in prompts]
    running, ended, near = set(range(len(prompts))), set(), set()
    for _ in range(max_new_tokens):
        output = model(
            input_ids=ids, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True
        )
        cache = output.past_key_values
        last = output.logits[:, -1]  # (rows, words)
        best = last.topk(2)
        is_near = best.values[:, 0] - best.values[:, 1] < NEAR * last.abs().amax(1)
        for row in [*running]:
            token = int(best.indices[row, 0])
            if is_near[row]:
                near.add(row)
            elif token in ends:
                ended.add(row)
            else:
                new[row].append(token)
        running -= ended | near
        if not running:
            break
        ids = best.indices[:, :1]  # rows that are done go on unread
        mask = torch.cat([mask, mask.new_ones(len(prompts), 1)], 1)
        positions = positions[:, -1:] + 1
    return [None if row in near else Continuation(new[row], row not in ended) for row in range(len(prompts))]
