"""Range checks of the training config."""

import math

from qweft.errors import QweftError
from qweft.training.config import RunConfig, TrainingConfig
from qweft.training.distributed import check_sharding
from qweft.training.on_device import check_device
from qweft.training.trainer import check_rates

KNOWN_REPORTS = ("tensorboard", "trackio", "wandb", "mlflow", "comet_ml", "swanlab", "neptune", "dvclive")


def check_training(training: TrainingConfig) -> None:
    """Check the ranges that types cannot express.

    Raises:
        QweftError: If a value is out of range; names the key, the value and the allowed range.
    """
    for name in ("batch_size", "gradient_accumulation", "logging_steps", "basis_rows"):
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
    if not 0 <= training.weight_decay < math.inf:
        raise QweftError(f"training.weight_decay must be a number of at least 0, got {training.weight_decay}")
    if not 0 <= training.seed < 2**32:
        raise QweftError(f"training.seed must be a whole number from 0 to 4294967295, got {training.seed}")
    check_rates(training.learning_rates)
    check_device(training)


def check_run(config: RunConfig) -> None:
    """Check the sections checkpoints, validation and training, `report_to`, and FSDP's settings.

    Raises:
        QweftError: If a value is out of range, naming the key, the value and the allowed range; if a package that
            `report_to` needs is not installed; or as `check_sharding`.
    """
    check_sharding()
    check_training(config.training)
    for name, value in (
        ("checkpoints.every", config.checkpoints.every),
        ("checkpoints.newest", config.checkpoints.newest),
        ("validation.every", config.validation.every),
        ("validation.patience", config.validation.patience),
    ):
        if value is not None and value < 1:
            raise QweftError(f"{name} must be at least 1, got {value}")
    if config.validation.patience is not None and config.validation.every is None:
        raise QweftError("validation.patience needs validation.every: so many steps lie between two validations")
    if config.validation.every is not None and config.data.validation_rows == 0:
        raise QweftError("validation.every needs validation rows: set data.validation_rows")
    _check_reports(config.report_to)


def _check_reports(report_to: list[str]) -> None:
    from transformers.integrations import get_available_reporting_integrations

    for name in report_to:
        if name not in KNOWN_REPORTS:
            raise QweftError(f"report_to {name}: there is no such place; there are {', '.join(KNOWN_REPORTS)}")
        if name not in get_available_reporting_integrations():
            raise QweftError(f"report_to {name}: its package is not installed; pip install {name}")
