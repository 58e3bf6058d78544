"""How a model is evaluated. Importing this is light, as of every config section."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from qweft.evaluation.metrics import names

if TYPE_CHECKING:
    Metric = str
else:
    Metric = Literal[names()]
"""Name of a module of `qweft.evaluation.metrics`."""


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
        generated: Number of rows to answer for the metrics; `None` means all rows of the split.
        generation_batch: Answers to generate at a time; the answers do not depend on it.
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
        """Return the settings that every command with an evaluation uses; each command uses its own further ones."""
        return {name: getattr(self, name) for name in EVERYWHERE}

    def compared(self) -> dict[str, Any]:
        """Return the settings that a comparison uses: `everywhere`, and those of forgetting if it is measured."""
        asked = FORGETTING if self.forgetting is not None else ()
        return self.everywhere() | {name: getattr(self, name) for name in asked}


EVERYWHERE = ("split", "batch_size", "answers", "max_new_tokens")
FORGETTING = ("forgetting", "forgetting_rows", "forgetting_length", "forgetting_first")
