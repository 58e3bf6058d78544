"""What a training section may hold."""

import math

from qweft.errors import QweftError
from qweft.training.config import TrainingConfig
from qweft.training.measured import check_device


def check_training(training: TrainingConfig) -> None:
    """Check the ranges that types do not tell.

    Raises:
        QweftError: Naming the key, the value, and what it may be.
    """
    for name in ("batch_size", "gradient_accumulation", "logging_steps"):
        if getattr(training, name) < 1:
            raise QweftError(f"training.{name} must be at least 1, got {getattr(training, name)}")
    if training.max_steps is not None and training.max_steps < 1:
        raise QweftError(
            f"training.max_steps must be at least 1, got {training.max_steps}; leave it out to train by epochs"
        )
    for name in ("learning_rate", "epochs", "max_gradient_norm"):
        if not 0 < getattr(training, name) < math.inf:
            raise QweftError(f"training.{name} must be a number above 0, got {getattr(training, name)}")
    if not 0 <= training.warmup_ratio < 1:
        raise QweftError(f"training.warmup_ratio must be at least 0 and below 1, got {training.warmup_ratio}")
    if training.weight_decay < 0:
        raise QweftError(f"training.weight_decay must be at least 0, got {training.weight_decay}")
    if not 0 <= training.seed < 2**32:
        raise QweftError(f"training.seed must be a whole number from 0 to 4294967295, got {training.seed}")
    check_device(training)
