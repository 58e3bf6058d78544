"""What training rows and held-out rows have in common."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from qweft.data.conversation import Conversation

STRETCH = 12
"""Tokens in a row that are looked for elsewhere."""
SHARE = 0.5
"""A row in which so many of its stretches are training's is told."""


@dataclass(frozen=True)
class Overlap:
    """How much of a held-out part stands in the training rows too.

    Args:
        rows: Rows of the part.
        prompts: Rows whose prompt is that of a training row; case and white space do not count.
        answers: Rows whose answer is.
        stretches: Rows of which at least half of all stretches of 12 tokens stand in training rows.
    """

    rows: int
    prompts: int
    answers: int
    stretches: int

    @property
    def is_none(self) -> bool:
        """Whether nothing is shared."""
        return not (self.prompts or self.answers or self.stretches)


def overlap(train: Sequence[Conversation], held_out: Sequence[Conversation], tokenizer: Any) -> Overlap:
    """Look for the held-out rows in the training rows; templates are not looked at, nor are system messages.

    Args:
        train: Training rows.
        held_out: Validation or test rows.
        tokenizer: It makes the tokens of the stretches, so that languages without spaces have some.
    """
    prompts, answers = {_prompt(row) for row in train}, {_plain(row.answer) for row in train}
    known = {stretch for row in train for stretch in _stretches(row, tokenizer)}
    return Overlap(
        len(held_out),
        sum(_prompt(row) in prompts for row in held_out if not row.is_text),
        sum(_plain(row.answer) in answers for row in held_out),
        sum(_is_known(list(_stretches(row, tokenizer)), known) for row in held_out),
    )


def _is_known(stretches: Sequence[int], known: set[int]) -> bool:
    return bool(stretches) and sum(stretch in known for stretch in stretches) >= SHARE * len(stretches)


def _prompt(row: Conversation) -> str:
    return _plain("\n".join(message.content for message in row.prompt if message.role != "system"))


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


def _stretches(row: Conversation, tokenizer: Any) -> Iterator[int]:
    """Hashes of all runs of `STRETCH` tokens of each message."""
    for text in _texts(row):
        ids = tokenizer(text, add_special_tokens=False, verbose=False).input_ids
        for first in range(len(ids) - STRETCH + 1):
            yield hash(tuple(ids[first : first + STRETCH]))


def _texts(row: Conversation) -> Iterable[str]:
    return (_plain(message.content) for message in row.messages if message.role != "system")
