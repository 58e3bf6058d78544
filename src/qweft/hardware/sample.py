"""Which rows, tokens and answers are measured, so that a number of circuits suffices."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from qweft.data.tokens import Encoded, target_tokens
from qweft.errors import QweftError

ROWS_OF_TOKENS = 8
"""Where no two rows fit, tokens are chosen in so many."""


@dataclass(frozen=True)
class Sample:
    """What is measured at each number of shots and strength of noise.

    Args:
        rows: Numbers of the rows whose loss is taken.
        answers: So many of the first conversations are answered.
        tokens: For each of the rows the places of the tokens that are measured; none means all of them.
        circuits: Circuits at most, all together.
        calls: Tokens that each call of a layer measures at most; one call's circuits can go into one job, those of two
            cannot, since a layer reads what came of the one before it.
    """

    rows: tuple[int, ...]
    answers: int
    tokens: tuple[tuple[int, ...], ...] | None
    circuits: int
    calls: tuple[int, ...]

    def describe(self, rows: Sequence[Encoded]) -> str:
        """In words: what of the rows is measured."""
        if self.tokens is not None:
            some = sum(map(len, self.tokens))
            total = sum(len(rows[i]["input_ids"]) for i in self.rows)
            return f"{some:,} of the {total:,} tokens of {len(self.rows)} rows measured, the others computed exactly"
        part = "all" if len(self.rows) == len(rows) else f"{len(self.rows)} of"
        return f"{part} {len(rows)} rows measured whole, {self.answers} answers"


def choose_sample(
    rows: Sequence[Encoded],
    answer_tokens: Sequence[int],
    max_new_tokens: int,
    batch_size: int,
    circuits_a_token: int,
    circuits_once: int,
    max_circuits: int | None,
    seed: int,
) -> Sample:
    """As many rows as fit, drawn at random; where not even two fit, as many tokens of a few rows.

    Answers get half of the circuits at most, and only as many as fit into that.

    Args:
        rows: The rows that could be judged.
        answer_tokens: For each conversation that could be answered its tokens at most, prompt and answer.
        max_new_tokens: Of an answer.
        batch_size: Rows that are judged at a time.
        circuits_a_token: Circuits that one token takes: layers, times what mitigation repeats.
        circuits_once: Circuits beside those of tokens.
        max_circuits: The cap; none means no cap.
        seed: Of the draw.

    Raises:
        QweftError: If one token takes more than the cap, or no row has a target.
    """
    usable = [i for i, row in enumerate(rows) if target_tokens(row)]
    if not usable:
        raise QweftError("no row holds a token that is predicted; are the answers longer than data.max_length?")
    lengths = [len(row["input_ids"]) for row in rows]
    everything = sum(lengths[i] for i in usable) + sum(answer_tokens)
    most = everything if max_circuits is None else (max_circuits - circuits_once) // circuits_a_token  # tokens
    if most < 1:
        raise QweftError(
            f"max_circuits {max_circuits:,} is fewer than the {circuits_a_token + circuits_once:,} circuits that one "
            "token takes; raise it, or name fewer layers with --layers"
        )
    answers = len(answer_tokens) if most >= everything else fitting(answer_tokens, most // 2)
    draws = np.random.default_rng(seed)
    drawn = [usable[i] for i in draws.permutation(len(usable))]
    whole = sorted(drawn[: fitting([lengths[i] for i in drawn], most - sum(answer_tokens[:answers]))])
    tokens = None
    if len(whole) < min(2, len(usable)):
        answers, whole = 0, sorted(drawn[:ROWS_OF_TOKENS])
        places = [(i, place) for i in whole for place in range(lengths[i])]
        chosen = sorted(places[k] for k in draws.permutation(len(places))[:most])
        tokens = tuple(tuple(place for i, place in chosen if i == row) for row in whole)
    sizes = [lengths[i] for i in whole] if tokens is None else [len(places) for places in tokens]
    order = sorted(range(len(whole)), key=lambda k: -lengths[whole[k]])  # as rows are judged
    calls = [sum(sizes[k] for k in order[first : first + batch_size]) for first in range(0, len(order), batch_size)]
    for total in answer_tokens[:answers]:
        calls += [total - max_new_tokens + 1, *[1] * (max_new_tokens - 1)]
    measured = sum(calls)
    return Sample(
        tuple(whole), answers, tokens, measured * circuits_a_token + circuits_once, tuple(filter(None, calls))
    )


def fitting(costs: Sequence[int], most: int) -> int:
    """How many of the first add up to no more than that."""
    return int(np.searchsorted(np.cumsum(costs), most, side="right"))


class ChosenTokens:
    """Tells the tokens that are measured by the rows that they stand in; to be given to `on_device`.

    Args:
        rows: The rows of the sample.
        tokens: For each of them the places of the tokens.
    """

    def __init__(self, rows: Sequence[Encoded], tokens: Sequence[Sequence[int]]) -> None:
        # the longest first: one row may be the beginning of another
        self._rows = sorted(
            ((row["input_ids"], list(places)) for row, places in zip(rows, tokens, strict=True)),
            key=lambda pair: -len(pair[0]),
        )

    def __call__(self, ids: torch.Tensor) -> torch.Tensor:
        """(rows, tokens) of ids, padded on the right, to what of them is measured."""
        found = torch.zeros(ids.shape, dtype=torch.bool)
        for number, row in enumerate(ids.tolist()):
            places = next((places for known, places in self._rows if row[: len(known)] == known), [])
            found[number, places] = True
        return found
