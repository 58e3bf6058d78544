"""The rows, tokens and answers that are measured within a number of circuits."""

from collections.abc import Sequence
from dataclasses import dataclass
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
    """What is measured at each setting: rows, answers, and positions of the measured tokens in each row.

    It is "all" tokens that the loss of a row depends on, only those that predict "targets", or single tokens "drawn" at
    random. `calls` has the most tokens that each call of a layer measures. Circuits of one call can share a job; those
    of two calls cannot, since a layer reads the results of the previous one.
    """

    kind: Literal["all", "targets", "drawn"]
    rows: tuple[int, ...]
    answers: int
    tokens: tuple[tuple[int, ...], ...]
    circuits: int
    calls: tuple[int, ...]

    def describe(self, rows: Sequence[Encoded]) -> str:
        """Return a description of the sample of all these rows."""
        measured = sum(map(len, self.tokens))
        total = sum(len(rows[i]["input_ids"]) for i in self.rows)
        if self.kind == "drawn":
            return (
                f"{many(measured, 'token')} drawn from {many(len(self.rows), 'row')} measured, the other "
                f"{total - measured:,} computed exactly"
            )
        part = "all" if len(self.rows) == len(rows) else f"{len(self.rows)} of"
        what = "measured whole"
        if self.kind == "targets":
            tokens = f"their {many(measured, 'token')} that predict a target"
            what = f"{tokens} measured, the other {total - measured:,} computed exactly"
        comma = "," if self.kind == "targets" else ""
        return f"{part} {many(len(rows), 'row')}{comma} {what}, {many(self.answers, 'answer')}"

    def to_json(self) -> dict[str, Any]:
        """Return the choice as JSON can hold it; tokens are left out if whole rows are measured."""
        chosen = {} if self.kind == "all" else {"tokens": self.tokens}
        return {"kind": self.kind, "rows": self.rows, "answers": self.answers, **chosen}


@dataclass(frozen=True)
class Wanted:
    """Everything that a sample can be drawn from."""

    rows: Sequence[Encoded]
    which: Which
    answers: Sequence[Sequence[int]]
    batch_size: int
    circuits_a_token: int
    circuits_once: int

    def draw(self, max_circuits: int | None, seed: int) -> Sample:
        """Draw as many random rows as fit; if fewer than two fit, draw single tokens of a few rows.

        If not everything fits, answers take at most half of the circuits. With single tokens nothing is answered.
        """
        usable = [i for i, row in enumerate(self.rows) if target_tokens(row)]
        if not usable:
            raise QweftError("no row holds a token that is predicted; are the answers longer than data.max_length?")
        places, calls = self._places(), self._calls_of_answers()
        costs = [sum(of_answer) for of_answer in calls]
        everything = sum(len(places[i]) for i in usable) + sum(costs)
        most = everything
        if max_circuits is not None:
            most = (max_circuits - self.circuits_once) // self.circuits_a_token
        if most < 1:
            raise QweftError(
                f"--max-circuits {max_circuits} is fewer than the {self.circuits_a_token + self.circuits_once:,} "
                "circuits that one token takes; raise it, or name fewer layers with --layers"
            )
        answers = len(costs) if most >= everything else _fitting(costs, most // 2)
        draws = np.random.default_rng(seed)
        drawn = [usable[i] for i in draws.permutation(len(usable))]
        chosen = sorted(drawn[: _fitting([len(places[i]) for i in drawn], most - sum(costs[:answers]))])
        tokens = [tuple(places[i]) for i in chosen]
        is_drawn = len(chosen) < min(2, len(usable))
        if is_drawn:
            answers, chosen = 0, sorted(drawn[:ROWS_OF_TOKENS])
            pairs = [(i, place) for i in chosen for place in places[i]]
            some = sorted(pairs[k] for k in draws.permutation(len(pairs))[:most])
            tokens = [tuple(place for i, place in some if i == row) for row in chosen]
        order = sorted(range(len(chosen)), key=lambda k: -len(self.rows[chosen[k]]["input_ids"]))
        size = self.batch_size
        batches = [sum(len(tokens[k]) for k in order[first : first + size]) for first in range(0, len(order), size)]
        measured = [*batches, *(call for of_answer in calls[:answers] for call in of_answer)]
        return Sample(
            kind="drawn" if is_drawn else self.which,
            rows=tuple(chosen),
            answers=answers,
            tokens=tuple(tokens),
            circuits=sum(measured) * self.circuits_a_token + self.circuits_once,
            calls=tuple(filter(None, measured)),
        )

    def _places(self) -> list[list[int]]:
        """Return the positions to measure in each row, without the last token, which predicts nothing."""
        if self.which == "all":
            return [list(range(len(row["input_ids"]) - 1)) for row in self.rows]
        return [[i for i, label in enumerate(row["labels"][1:]) if label != IGNORED] for row in self.rows]

    def _calls_of_answers(self) -> list[list[int]]:
        """Return the number of tokens to measure at each call for each answer."""
        return [[*read] if self.which == "all" else [1] * len(read) for read in self.answers]


def _fitting(costs: Sequence[int], most: int) -> int:
    """Return how many leading costs add up to at most `most`."""
    return int(np.searchsorted(np.cumsum(costs), most, side="right"))


def measured_targets(row: Encoded, tokens: Sequence[int]) -> tuple[bool, ...]:
    """Return for each target of a row whether the token that predicts it is at one of these positions."""
    measured = set(tokens)
    return tuple(i in measured for i, label in enumerate(row["labels"][1:]) if label != IGNORED)


class ChosenTokens:
    """Selects the tokens to measure in a batch by matching its rows to those of the sample; for `on_device`."""

    def __init__(self, rows: Sequence[Encoded], tokens: Sequence[Sequence[int]], pad: int, of_others: Which) -> None:
        self._rows = [(list(row["input_ids"]), list(places)) for row, places in zip(rows, tokens, strict=True)]
        self._pad = pad
        self._of_others = slice(None) if of_others == "all" else [-1]

    def __call__(self, ids: "torch.Tensor") -> "torch.Tensor":
        """Return a bool mask of the tokens to measure for right-padded ids (rows, tokens)."""
        import torch

        mask = torch.zeros(ids.shape, dtype=torch.bool)
        for number, row in enumerate(ids.tolist()):
            # a prompt may begin with a row, and goes on; equal rows are measured where any of them is
            same = [places for known, places in self._rows if row == known + [self._pad] * (len(row) - len(known))]
            for places in same:
                mask[number, places] = True
            if not same:
                mask[number, self._of_others] = True
        return mask
