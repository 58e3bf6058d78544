"""Which rows, tokens and answers are measured, so that a number of circuits suffices."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from qweft.data.tokens import IGNORED, Encoded, target_tokens
from qweft.errors import QweftError
from qweft.text import many

ROWS_OF_TOKENS = 8
"""Where no two rows fit, tokens are drawn from so many."""

Which = Literal["all", "targets"]


@dataclass(frozen=True)
class Sample:
    """What is measured at each number of shots and strength of noise.

    Args:
        kind: "all" that a row's loss depends on, only the tokens that predict "targets", or tokens "drawn" one by one.
        rows: Numbers of the rows whose loss is taken.
        answers: So many of the first conversations are answered.
        tokens: For each of the rows the places of the tokens that are measured.
        circuits: Circuits at most, all together.
        calls: Tokens that each call of a layer measures at most; one call's circuits can go into one job, those of two
            cannot, since a layer reads what came of the one before it.
    """

    kind: Literal["all", "targets", "drawn"]
    rows: tuple[int, ...]
    answers: int
    tokens: tuple[tuple[int, ...], ...]
    circuits: int
    calls: tuple[int, ...]

    def describe(self, rows: Sequence[Encoded]) -> str:
        """In words: what of the rows is measured."""
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
        """Which rows and tokens, as JSON holds it; of whole rows the tokens need not be named."""
        chosen = {} if self.kind == "all" else {"tokens": self.tokens}
        return {"kind": self.kind, "rows": self.rows, "answers": self.answers, **chosen}


@dataclass(frozen=True)
class Wanted:
    """What could be measured.

    Args:
        rows: The rows that could be judged.
        which: Which of their tokens; of a prompt that is answered, "targets" is its last one.
        prompts: For each conversation that could be answered, the tokens of its prompt.
        new_tokens: Most tokens of an answer; the last one is read by nothing, and not measured.
        batch_size: Rows that are judged at a time.
    """

    rows: Sequence[Encoded]
    which: Which
    prompts: Sequence[int]
    new_tokens: int
    batch_size: int

    @property
    def places(self) -> list[list[int]]:
        """For each row the places of the tokens to measure; its last one predicts nothing, and nothing reads it."""
        if self.which == "all":
            return [list(range(len(row["input_ids"]) - 1)) for row in self.rows]
        return [[i for i, label in enumerate(row["labels"][1:]) if label != IGNORED] for row in self.rows]

    @property
    def prompt_tokens(self) -> list[int]:
        """Tokens to measure of each prompt."""
        return [*self.prompts] if self.which == "all" else [1] * len(self.prompts)

    @property
    def answers(self) -> list[int]:
        """Tokens to measure for each answer, at most."""
        return [prompt + self.new_tokens - 1 for prompt in self.prompt_tokens]


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
    places, costs = wanted.places, wanted.answers
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
    """Tokens that each call of a layer measures: batches of rows as they are judged, then prompts and new tokens."""
    order = sorted(range(len(chosen)), key=lambda k: -len(wanted.rows[chosen[k]]["input_ids"]))
    size = wanted.batch_size
    calls = [sum(len(tokens[k]) for k in order[first : first + size]) for first in range(0, len(order), size)]
    for prompt in wanted.prompt_tokens[:answers]:
        calls += [prompt, *[1] * (wanted.new_tokens - 1)]
    return tuple(filter(None, calls))


def fitting(costs: Sequence[int], most: int) -> int:
    """How many of the first add up to no more than that."""
    return int(np.searchsorted(np.cumsum(costs), most, side="right"))


def measured_targets(row: Encoded, tokens: Sequence[int]) -> tuple[bool, ...]:
    """For each target of a row whether the token that predicts it is among these places."""
    measured = set(tokens)
    return tuple(i in measured for i, label in enumerate(row["labels"][1:]) if label != IGNORED)


class ChosenTokens:
    """Tells the tokens that are measured by the rows that they stand in; to be given to `on_device`.

    Args:
        rows: The rows of the sample.
        tokens: For each of them the places of the tokens.
        of_others: What is measured of other rows, which are prompts that are answered and new tokens: "all", or only
            the last token, which predicts the next one ("targets").
    """

    def __init__(self, rows: Sequence[Encoded], tokens: Sequence[Sequence[int]], of_others: Which) -> None:
        # the longest first: one row may be the beginning of another
        self._rows = sorted(
            ((row["input_ids"], list(places)) for row, places in zip(rows, tokens, strict=True)),
            key=lambda pair: -len(pair[0]),
        )
        self._of_others = slice(None) if of_others == "all" else [-1]

    def __call__(self, ids: torch.Tensor) -> torch.Tensor:
        """(rows, tokens) of ids, padded on the right, to what of them is measured."""
        found = torch.zeros(ids.shape, dtype=torch.bool)
        for number, row in enumerate(ids.tolist()):
            places = next((places for known, places in self._rows if row[: len(known)] == known), self._of_others)
            found[number, places] = True
        return found
