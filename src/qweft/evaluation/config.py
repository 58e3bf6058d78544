"""How a model is evaluated. Importing this is light, as of every config section."""

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from annotated_types import Ge

from qweft.core.schema import Count

Metric = Literal["text", "reasoning", "verifier"]
"""Name of a module of `qweft.evaluation.metrics`."""
EVERYWHERE = ("split", "batch_size", "answers", "max_new_tokens")
"""Settings that every command with an evaluation uses."""
FORGETTING = ("forgetting", "forgetting_rows", "forgetting_length", "forgetting_first")


@dataclass(frozen=True)
class EvaluationConfig:
    """Evaluation of a model on held-out rows.

    Args:
        split: Held-out rows to evaluate on: "test" for reported numbers, "validation" for choosing settings.
        batch_size: Rows per batch; the loss does not depend on it.
        answers: Number of answers to generate and show with the reference.
        max_new_tokens: Maximum length of a generated answer in tokens.
        metrics: Metrics of generated answers: text (BLEU-4, ROUGE), reasoning (final answer and chain of thought),
            verifier (of the task, for reasoning-gym data). Only `qweft evaluate` computes them.
        generated: Maximum number of rows to answer for the metrics; `None` means all rows of the split.
        generation_batch: Answers to generate at a time; the answers depend on it by rounding alone.
        forgetting: Other data, in the form of data.source, on which to measure the rise of the loss.
        forgetting_rows: Number of rows of the other data.
        lm_eval: Tasks of lm-evaluation-harness, as names or paths of .yaml files.
        lm_eval_limit: Maximum number of examples per task; `None` means all.
        forgetting_length: Maximum length in tokens of the other data's rows, whose texts may be longer than the run's
            own limit.
        forgetting_first: Take the first rows of the other data instead of drawing rows from all. No further rows of a
            data set on the hub are fetched.
    """

    split: Literal["validation", "test"] = "test"
    batch_size: Count = 8
    answers: Annotated[int, Ge(0)] = 3
    max_new_tokens: Count = 64
    metrics: list[Metric] = field(default_factory=list)
    generated: Count | None = None
    generation_batch: Count = 1
    forgetting: str | None = None
    forgetting_rows: Count = 64
    lm_eval: list[str] = field(default_factory=list)
    lm_eval_limit: Count | None = None
    forgetting_length: Annotated[int, Ge(2)] = 512
    forgetting_first: bool = False

    def compared(self) -> dict[str, Any]:
        """Return the settings that a comparison uses, those of forgetting if it is measured."""
        names = EVERYWHERE if self.forgetting is None else (*EVERYWHERE, *FORGETTING)
        return {name: getattr(self, name) for name in names}
