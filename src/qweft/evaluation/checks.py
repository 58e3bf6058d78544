"""What an evaluation section may hold."""

from qweft.data.config import DataConfig
from qweft.errors import QweftError
from qweft.evaluation.config import EvaluationConfig


def check_evaluation(evaluation: EvaluationConfig, data: DataConfig) -> None:
    """Check the ranges that types do not tell.

    Raises:
        QweftError: Naming the key, the value, and what it may be.
    """
    for name, least in (("batch_size", 1), ("answers", 0), ("max_new_tokens", 1)):
        if getattr(evaluation, name) < least:
            raise QweftError(f"evaluation.{name} must be at least {least}, got {getattr(evaluation, name)}")
    rows = data.test_rows if evaluation.split == "test" else data.validation_rows
    if rows < 1:
        raise QweftError(f"data.{evaluation.split}_rows must be at least 1 to judge on the {evaluation.split} rows")
