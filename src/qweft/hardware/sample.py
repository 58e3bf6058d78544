"""Which rows, tokens and answers are measured, so that a number of circuits suffices."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from qweft.data.tokens import IGNORED, Encoded, target_tokens
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
            said = f"{some:,} of the {total:,} tokens of {len(self.rows)} rows measured, the others computed exactly"
            return f"{said}, {self.answers} answers" if self.answers else said
        part = "all" if len(self.rows) == len(rows) else f"{len(self.rows)} of"
        return f"{part} {len(rows)} rows measured whole, {self.answers} answers"


@dataclass(frozen=True)
class Wanted:
    """What could be measured.

    Args:
        rows: The rows that could be judged.
        places: For each of them the places of the tokens to measure.
        prompts: For each conversation that could be answered, how many tokens of its prompt to measure.
        new_tokens: Most tokens of an answer; the last one is read by nothing, and not measured.
        batch_size: Rows that are judged at a time.
    """

    rows: Sequence[Encoded]
    places: Sequence[Sequence[int]]
    prompts: Sequence[int]
    new_tokens: int
    batch_size: int

    @property
    def answers(self) -> list[int]:
        """Tokens to measure for each answer, at most."""
        return [prompt + self.new_tokens - 1 for prompt in self.prompts]


def places_of(rows: Sequence[Encoded], which: str) -> list[list[int]]:
    """The places of the tokens to measure: "all", or those that predict "targets"."""
    if which == "all":
        return [list(range(len(row["input_ids"]))) for row in rows]
    return [[i for i, label in enumerate(row["labels"][1:]) if label != IGNORED] for row in rows]


def choose_sample(
    wanted: Wanted, circuits_a_token: int, circuits_once: int, max_circuits: int | None, seed: int
) -> Sample:
    """As many rows as fit, drawn at random; where not even two fit, as many tokens of a few rows.

    Answers get half of the circuits at most, and only as many as fit into that.

    Args:
        wanted: What could be measured.
        circuits_a_token: Circuits that one token takes: layers, times what mitigation repeats.
        circuits_once: Circuits beside those of tokens.
        max_circuits: The cap; none means no cap.
        seed: Of the draw.

    Raises:
        QweftError: If one token takes more than the cap, or no row has a target.
    """
    usable = [i for i, row in enumerate(wanted.rows) if target_tokens(row)]
    if not usable:
        raise QweftError("no row holds a token that is predicted; are the answers longer than data.max_length?")
    everything = sum(len(wanted.places[i]) for i in usable) + sum(wanted.answers)
    most = everything if max_circuits is None else (max_circuits - circuits_once) // circuits_a_token  # tokens
    if most < 1:
        raise QweftError(
            f"max_circuits {max_circuits:,} is fewer than the {circuits_a_token + circuits_once:,} circuits that one "
            "token takes; raise it, or name fewer layers with --layers"
        )
    answers = len(wanted.answers) if most >= everything else fitting(wanted.answers, most // 2)
    draws = np.random.default_rng(seed)
    drawn = [usable[i] for i in draws.permutation(len(usable))]
    left = most - sum(wanted.answers[:answers])
    chosen = sorted(drawn[: fitting([len(wanted.places[i]) for i in drawn], left)])
    tokens = [tuple(wanted.places[i]) for i in chosen]
    if len(chosen) < min(2, len(usable)):
        answers, chosen = 0, sorted(drawn[:ROWS_OF_TOKENS])
        pairs = [(i, place) for i in chosen for place in wanted.places[i]]
        some = sorted(pairs[k] for k in draws.permutation(len(pairs))[:most])
        tokens = [tuple(place for i, place in some if i == row) for row in chosen]
    is_whole = all(len(tokens[k]) == len(wanted.rows[i]["input_ids"]) for k, i in enumerate(chosen))
    calls = _calls(wanted, chosen, tokens, answers)
    circuits = sum(calls) * circuits_a_token + circuits_once
    return Sample(tuple(chosen), answers, None if is_whole else tuple(tokens), circuits, calls)


def _calls(wanted: Wanted, chosen: Sequence[int], tokens: Sequence[Sequence[int]], answers: int) -> tuple[int, ...]:
    """Tokens that each call of a layer measures: batches of rows as they are judged, then prompts and new tokens."""
    order = sorted(range(len(chosen)), key=lambda k: -len(wanted.rows[chosen[k]]["input_ids"]))
    size = wanted.batch_size
    calls = [sum(len(tokens[k]) for k in order[first : first + size]) for first in range(0, len(order), size)]
    for prompt in wanted.prompts[:answers]:
        calls += [prompt, *[1] * (wanted.new_tokens - 1)]
    return tuple(filter(None, calls))


def fitting(costs: Sequence[int], most: int) -> int:
    """How many of the first add up to no more than that."""
    return int(np.searchsorted(np.cumsum(costs), most, side="right"))


class ChosenTokens:
    """Tells the tokens that are measured by the rows that they stand in; to be given to `on_device`.

    Args:
        rows: The rows of the sample.
        tokens: For each of them the places of the tokens. Of other rows, which are prompts that are answered, the last
            token is measured: it predicts the next one.
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
            places = next((places for known, places in self._rows if row[: len(known)] == known), [-1])
            found[number, places] = True
        return found
