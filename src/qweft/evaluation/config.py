"""How a model is judged."""

from dataclasses import dataclass, field
from typing import Any, Literal

Metric = Literal["text", "reasoning", "verifier"]


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

    def everywhere(self) -> dict[str, Any]:
        """What every command that judges heeds; the other keys are for `qweft evaluate` alone."""
        return {name: getattr(self, name) for name in EVERYWHERE}


EVERYWHERE = ("split", "batch_size", "answers", "max_new_tokens")
