"""Checks of the evaluation section, before a model is loaded."""

from qweft.data.config import DataConfig
from qweft.errors import QweftError
from qweft.evaluation.answer_scores import metric_of
from qweft.evaluation.config import EVERYWHERE, FORGETTING, EvaluationConfig

LEAST = {
    "batch_size": 1, "answers": 0, "max_new_tokens": 1, "generation_batch": 1, "forgetting_rows": 1,
    "forgetting_length": 2,
}  # fmt: skip
LEAST_IF_GIVEN = {"generated": 1, "lm_eval_limit": 1}


def check_evaluation(evaluation: EvaluationConfig, data: DataConfig) -> None:
    """Check the ranges that types cannot express.

    Args:
        evaluation: The settings to check.
        data: The data section, whose rows limit the evaluation, unless their number follows from the data.

    Raises:
        QweftError: If a value is out of range; names the key, the value and the allowed range.
    """
    for name, least in {**LEAST, **LEAST_IF_GIVEN}.items():
        value = getattr(evaluation, name)
        if value is not None and value < least:
            raise QweftError(f"evaluation.{name} must be at least {least}, got {value}")
    rows = data.test_rows if evaluation.split == "test" else data.validation_rows
    if rows is not None and rows < 1:
        raise QweftError(f"data.{evaluation.split}_rows must be at least 1 to judge on the {evaluation.split} rows")
    if evaluation.generated is not None and rows is not None and evaluation.generated > rows:
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
