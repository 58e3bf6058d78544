"""Config dataclass of an evaluation, and its range checks."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from qweft.data.config import DataConfig
from qweft.errors import QweftError
from qweft.evaluation.answer_scores import metric_of
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


LEAST = {
    "batch_size": 1, "answers": 0, "max_new_tokens": 1, "generation_batch": 1, "forgetting_rows": 1,
    "forgetting_length": 2,
}  # fmt: skip
LEAST_IF_GIVEN = {"generated": 1, "lm_eval_limit": 1}


def check_evaluation(evaluation: EvaluationConfig, data: DataConfig) -> None:
    """Check the ranges that types cannot express.

    Args:
        evaluation: The settings to check.
        data: The data section, whose rows limit the evaluation.

    Raises:
        QweftError: If a value is out of range; names the key, the value and the allowed range.
    """
    for name, least in {**LEAST, **LEAST_IF_GIVEN}.items():
        value = getattr(evaluation, name)
        if value is not None and value < least:
            raise QweftError(f"evaluation.{name} must be at least {least}, got {value}")
    rows = data.test_rows if evaluation.split == "test" else data.validation_rows
    if rows < 1:
        raise QweftError(f"data.{evaluation.split}_rows must be at least 1 to judge on the {evaluation.split} rows")
    if evaluation.generated is not None and evaluation.generated > rows:
        raise QweftError(
            f"evaluation.generated is {evaluation.generated}, and there are {rows} {evaluation.split} rows; raise "
            f"data.{evaluation.split}_rows, or leave evaluation.generated out to answer all"
        )
    source = data.source_of(evaluation.split)
    for name in evaluation.metrics:
        metric_of(name).check(source)
    if evaluation.forgetting == data.source:
        raise QweftError(
            f"evaluation.forgetting {evaluation.forgetting} is what the adapter learned from; give other data"
        )


def check_judged_by_loss(evaluation: EvaluationConfig) -> None:
    """Check that only settings that a comparison uses differ from their defaults.

    Raises:
        QweftError: If another setting does; names the key.
    """
    plain, heeded = EvaluationConfig(), (*EVERYWHERE, *FORGETTING)
    others = (name for name in vars(plain) if name not in heeded)
    name = next((name for name in others if getattr(plain, name) != getattr(evaluation, name)), None)
    if name is not None:
        raise QweftError(
            f"evaluation.{name}: a comparison judges by loss and shows answers; leave it out, and score an adapter "
            f"of the comparison by qweft evaluate OUTPUT/METHOD-SEED/adapter --evaluation.{name}"
        )
