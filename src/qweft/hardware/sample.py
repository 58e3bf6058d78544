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
        circuits: Circuits at most, those of the answers among them.
        whole: Circuits that all rows and answers would take.
    """

    rows: tuple[int, ...]
    answers: int
    tokens: tuple[tuple[int, ...], ...] | None
    circuits: int
    whole: int

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
    circuits_a_token: int,
    max_circuits: int | None,
    seed: int,
) -> Sample:
    """As many rows as fit, drawn at random; where not even two fit, as many tokens of a few rows.

    Answers get half of the circuits at most, and only as many as fit into that.

    Args:
        rows: The rows that could be judged.
        answer_tokens: For each conversation that could be answered its tokens at most, prompt and answer.
        circuits_a_token: Circuits that one token takes: layers, times what mitigation repeats.
        max_circuits: The cap; none means no cap.
        seed: Of the draw.

    Raises:
        QweftError: If one token takes more than the cap, or no row has a target.
    """
    usable = [i for i, row in enumerate(rows) if target_tokens(row)]
    if not usable:
        raise QweftError("no row holds a token that is predicted; are the answers longer than data.max_length?")
    cost = [len(rows[i]["input_ids"]) * circuits_a_token for i in range(len(rows))]
    answer_cost = [tokens * circuits_a_token for tokens in answer_tokens]
    whole = sum(cost[i] for i in usable) + sum(answer_cost)
    if max_circuits is None or whole <= max_circuits:
        return Sample(tuple(usable), len(answer_cost), None, whole, whole)
    if max_circuits < circuits_a_token:
        raise QweftError(
            f"max_circuits {max_circuits:,} is fewer than the {circuits_a_token:,} circuits that one token takes; "
            "raise it, or name fewer layers with --layers"
        )
    answers = fitting(answer_cost, max_circuits // 2)
    left = max_circuits - sum(answer_cost[:answers])
    draws = np.random.default_rng(seed)
    drawn = [usable[i] for i in draws.permutation(len(usable))]
    whole_rows = drawn[: fitting([cost[i] for i in drawn], left)]
    if len(whole_rows) > 1:
        circuits = sum(cost[i] for i in whole_rows) + sum(answer_cost[:answers])
        return Sample(tuple(sorted(whole_rows)), answers, None, circuits, whole)
    few = sorted(drawn[:ROWS_OF_TOKENS])
    places = [(i, place) for i in few for place in range(len(rows[i]["input_ids"]))]
    some = draws.permutation(len(places))[: max_circuits // circuits_a_token]
    chosen = sorted(places[k] for k in some)
    tokens = tuple(tuple(place for i, place in chosen if i == row) for row in few)
    return Sample(tuple(few), 0, tokens, len(chosen) * circuits_a_token, whole)


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
