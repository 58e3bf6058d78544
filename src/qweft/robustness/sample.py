"""Chooses the rows, tokens and answers to measure within a number of circuits."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from qweft.data.tokens import IGNORED, Encoded, target_tokens
from qweft.errors import QweftError
from qweft.text import many

if TYPE_CHECKING:
    import torch

ROWS_OF_TOKENS = 8
"""Number of rows to draw single tokens from, if fewer than two whole rows fit."""

Which = Literal["all", "targets"]


@dataclass(frozen=True)
class Sample:
    """What is measured at each setting.

    Args:
        kind: "all" tokens that the loss of a row depends on, only the tokens that predict "targets", or single tokens
            "drawn" at random.
        rows: Indices of the rows.
        answers: Number of conversations to answer, from the first.
        tokens: Positions of the measured tokens in each row.
        circuits: Upper bound on the total number of circuits.
        calls: Most tokens that each call of a layer measures. Circuits of one call can share a job. Those of two calls
            cannot, since a layer reads the results of the previous one.
    """

    kind: Literal["all", "targets", "drawn"]
    rows: tuple[int, ...]
    answers: int
    tokens: tuple[tuple[int, ...], ...]
    circuits: int
    calls: tuple[int, ...]

    def describe(self, rows: Sequence[Encoded]) -> str:
        """Returns a description of the sample.

        Args:
            rows: All rows that the sample was drawn from.
        """
        measured = sum(map(len, self.tokens))
        total = sum(len(rows[i]["input_ids"]) for i in self.rows)
        part = "all" if len(self.rows) == len(rows) else f"{len(self.rows)} of"
        said = {
            "all": f"{part} {many(len(rows), 'row')} measured whole",
            "targets": f"{part} {many(len(rows), 'row')}, their {many(measured, 'token')} that predict a target "
            f"measured, the other {total - measured:,} computed exactly",
            "drawn": f"{many(measured, 'token')} drawn from {many(len(self.rows), 'row')} measured, the other "
            f"{total - measured:,} computed exactly",
        }[self.kind]
        return said if self.kind == "drawn" else f"{said}, {many(self.answers, 'answer')}"

    def to_json(self) -> dict[str, Any]:
        """Returns the choice as JSON-compatible values; tokens are left out if whole rows are measured."""
        chosen = {} if self.kind == "all" else {"tokens": self.tokens}
        return {"kind": self.kind, "rows": self.rows, "answers": self.answers, **chosen}


@dataclass(frozen=True)
class Wanted:
    """Everything that a sample can be drawn from.

    Args:
        rows: All rows.
        which: Tokens to measure: "all" or "targets". Of a prompt to answer, "targets" means the last token.
        answers: Number of tokens that each call reads for the answer of a conversation, the prompt first.
        batch_size: Rows in a batch.
    """

    rows: Sequence[Encoded]
    which: Which
    answers: Sequence[Sequence[int]]
    batch_size: int

    @cached_property
    def places(self) -> list[list[int]]:
        """Positions of the tokens to measure in each row, without the last token, which predicts nothing."""
        if self.which == "all":
            return [list(range(len(row["input_ids"]) - 1)) for row in self.rows]
        return [[i for i, label in enumerate(row["labels"][1:]) if label != IGNORED] for row in self.rows]

    @property
    def calls(self) -> list[list[int]]:
        """Tokens to measure at each call for an answer."""
        return [[*read] if self.which == "all" else [1] * len(read) for read in self.answers]


def choose_sample(
    wanted: Wanted, circuits_a_token: int, circuits_once: int, max_circuits: int | None, seed: int
) -> Sample:
    """Draws as many random rows as fit; if fewer than two fit, draws single tokens of a few rows.

    If not everything fits, answers take at most half of the circuits. With single tokens nothing is answered.

    Args:
        wanted: Everything that the sample can be drawn from.
        circuits_a_token: Circuits of one token: number of layers times circuits of the mitigation.
        circuits_once: Additional circuits for any number of tokens.
        max_circuits: Largest number of circuits; `None` means no cap.
        seed: Seed of the draw.

    Raises:
        QweftError: If one token needs more circuits than the cap, or no row has a target.
    """
    usable = [i for i, row in enumerate(wanted.rows) if target_tokens(row)]
    if not usable:
        raise QweftError("no row holds a token that is predicted; are the answers longer than data.max_length?")
    places, costs = wanted.places, [sum(calls) for calls in wanted.calls]
    everything = sum(len(places[i]) for i in usable) + sum(costs)
    most = everything if max_circuits is None else (max_circuits - circuits_once) // circuits_a_token  # tokens
    if most < 1:
        raise QweftError(
            f"--max-circuits {max_circuits} is fewer than the {circuits_a_token + circuits_once:,} circuits that one "
            "token takes; raise it, or name fewer layers with --layers"
        )
    answers = len(costs) if most >= everything else fitting(costs, most // 2)
    draws = np.random.default_rng(seed)
    drawn = [usable[i] for i in draws.permutation(len(usable))]
    chosen = sorted(drawn[: fitting([len(places[i]) for i in drawn], most - sum(costs[:answers]))])
    tokens = [tuple(places[i]) for i in chosen]
    is_drawn = len(chosen) < min(2, len(usable))
    if is_drawn:
        answers, chosen = 0, sorted(drawn[:ROWS_OF_TOKENS])
        pairs = [(i, place) for i in chosen for place in places[i]]
        some = sorted(pairs[k] for k in draws.permutation(len(pairs))[:most])
        tokens = [tuple(place for i, place in some if i == row) for row in chosen]
    calls = _calls(wanted, chosen, tokens, answers)
    circuits = sum(calls) * circuits_a_token + circuits_once
    return Sample("drawn" if is_drawn else wanted.which, tuple(chosen), answers, tuple(tokens), circuits, calls)


def _calls(wanted: Wanted, chosen: Sequence[int], tokens: Sequence[Sequence[int]], answers: int) -> tuple[int, ...]:
    """Returns the tokens that each call of a layer measures: batches of rows, then prompts and new tokens."""
    order = sorted(range(len(chosen)), key=lambda k: -len(wanted.rows[chosen[k]]["input_ids"]))
    size = wanted.batch_size
    calls = [sum(len(tokens[k]) for k in order[first : first + size]) for first in range(0, len(order), size)]
    for of_answer in wanted.calls[:answers]:
        calls += of_answer
    return tuple(filter(None, calls))


def fitting(costs: Sequence[int], most: int) -> int:
    """Returns how many leading costs add up to at most `most`."""
    return int(np.searchsorted(np.cumsum(costs), most, side="right"))


def measured_targets(row: Encoded, tokens: Sequence[int]) -> tuple[bool, ...]:
    """Returns for each target of a row whether the token that predicts it is at one of these positions."""
    measured = set(tokens)
    return tuple(i in measured for i, label in enumerate(row["labels"][1:]) if label != IGNORED)


class ChosenTokens:
    """Selects the tokens to measure in a batch by matching its rows to those of the sample; for `on_device`.

    Args:
        rows: Rows of the sample.
        tokens: Positions of the tokens to measure in each row.
        pad: Id that fills up the rows of a batch.
        of_others: Tokens to measure in other rows, which are prompts and new tokens: "all", or "targets" for only the
            last token, which predicts the next one.
    """

    def __init__(self, rows: Sequence[Encoded], tokens: Sequence[Sequence[int]], pad: int, of_others: Which) -> None:
        self._rows = [(list(row["input_ids"]), list(places)) for row, places in zip(rows, tokens, strict=True)]
        self._pad = pad
        self._of_others = slice(None) if of_others == "all" else [-1]

    def __call__(self, ids: "torch.Tensor") -> "torch.Tensor":
        """Returns a bool mask of the tokens to measure for right-padded ids (rows, tokens)."""
        import torch

        found = torch.zeros(ids.shape, dtype=torch.bool)
        for number, row in enumerate(ids.tolist()):
            # a prompt may begin with a row, and goes on; equal rows are measured where any of them is
            same = [places for known, places in self._rows if row == known + [self._pad] * (len(row) - len(known))]
            for places in same:
                found[number, places] = True
            if not same:
                found[number, self._of_others] = True
        return found
