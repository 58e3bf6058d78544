"""How a model is judged, and the checks of that section."""

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


LEAST = {
    "batch_size": 1, "answers": 0, "max_new_tokens": 1, "generation_batch": 1, "forgetting_rows": 1,
    "forgetting_length": 2,
}  # fmt: skip
LEAST_IF_GIVEN = {"generated": 1, "lm_eval_limit": 1}


def check_evaluation(evaluation: EvaluationConfig, data: DataConfig) -> None:
    """Check the ranges that types do not tell.

    Raises:
        QweftError: Naming the key, the value, and what it may be.
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
    """See that nothing is asked for that a comparison does not measure; of the rest it takes the loss elsewhere.

    Raises:
        QweftError: Naming the key.
    """
    plain, heeded = EvaluationConfig(), (*EVERYWHERE, *FORGETTING)
    others = (name for name in vars(plain) if name not in heeded)
    name = next((name for name in others if getattr(plain, name) != getattr(evaluation, name)), None)
    if name is not None:
        raise QweftError(
            f"evaluation.{name}: a comparison judges by loss and shows answers; leave it out, and score an adapter "
            f"of the comparison by qweft evaluate OUTPUT/METHOD-SEED/adapter --evaluation.{name}"
        )
