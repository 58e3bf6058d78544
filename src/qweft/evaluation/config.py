"""How a model is judged."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from qweft.evaluation.metrics import names

if TYPE_CHECKING:
    Metric = str
else:
    Metric = Literal[names()]
"""A module of `qweft.evaluation.metrics`, by its name."""


@dataclass(frozen=True)
class EvaluationConfig:
    """The judging of a model on rows that it was not trained on.

    Args:
        split: Rows to judge on: "test" for reported numbers, "validation" for choosing.
        batch_size: Rows at a time; the loss does not depend on it.
        answers: So many answers are generated and shown beside the reference.
        max_new_tokens: Longest generated answer in tokens.
        metrics: What generated answers are scored by: text (BLEU-4, ROUGE), reasoning (final answer and chain of
            thought), verifier (the task's own, for data of reasoning-gym). Only `qweft evaluate` does.
        generated: So many rows are answered for the metrics; none means all of the split.
        generation_batch: Answers that are generated at a time; they do not depend on it.
        forgetting: Other data, as data.source takes it, on which the rise of the loss is measured.
        forgetting_rows: Rows of it.
        lm_eval: Tasks of lm-evaluation-harness, by name or as the path of a .yaml file.
        lm_eval_limit: Examples of each such task at most; none means all.
        forgetting_length: Tokens to which rows of the other data are cut: the run's own limit may be too short for
            them.
        forgetting_first: Take the first rows of the other data, each whole up to that length, instead of drawing them
            from all; of a hub's data set no more than these are fetched.
    """

    split: Literal["validation", "test"] = "test"
    batch_size: int = 8
    answers: int = 3
    max_new_tokens: int = 64
    metrics: list[Metric] = field(default_factory=list)
    generated: int | None = None
    generation_batch: int = 1
    forgetting: str | None = None
    forgetting_rows: int = 64
    lm_eval: list[str] = field(default_factory=list)
    lm_eval_limit: int | None = None
    forgetting_length: int = 512
    forgetting_first: bool = False

    def everywhere(self) -> dict[str, Any]:
        """What every command that judges heeds; of the other keys each command has its own."""
        return {name: getattr(self, name) for name in EVERYWHERE}

    def compared(self) -> dict[str, Any]:
        """What a comparison heeds, too: `everywhere`, and where it measures forgetting, how."""
        asked = FORGETTING if self.forgetting is not None else ()
        return self.everywhere() | {name: getattr(self, name) for name in asked}


EVERYWHERE = ("split", "batch_size", "answers", "max_new_tokens")
FORGETTING = ("forgetting", "forgetting_rows", "forgetting_length", "forgetting_first")
