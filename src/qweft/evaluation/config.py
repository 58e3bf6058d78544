"""How a model is judged."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class EvaluationConfig:
    """The judging of a model on rows that it was not trained on.

    Args:
        split: Rows to judge on: "test" for reported numbers, "validation" for choosing.
        batch_size: Rows at a time; the loss does not depend on it.
        answers: So many answers are generated and shown beside the reference.
        max_new_tokens: Longest generated answer in tokens.
    """

    split: Literal["validation", "test"] = "test"
    batch_size: int = 8
    answers: int = 3
    max_new_tokens: int = 64
