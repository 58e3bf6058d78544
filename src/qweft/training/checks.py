"""Checks of a run's config, before PyTorch is imported."""

from pathlib import Path

from qweft.core.errors import QweftError
from qweft.core.files import check_can_be_written
from qweft.core.reader import check_values
from qweft.data.checks import check_data_config, check_sources
from qweft.evaluation.checks import check_evaluation
from qweft.method.names import RATED
from qweft.method.specification import check_on_quantized, check_specification, method_of
from qweft.models.checks import check_model
from qweft.models.folders import check_holds_no_model, has_tokenizer
from qweft.training.config import REPORTS, RunConfig, TrainingConfig
from qweft.training.distributed import check_launch, check_sharding
from qweft.training.on_device import check_device

NOT_TAKEN_BACK = {
    "ADALORA": (None, "its file has fewer ranks than it trains"),
    "P_TUNING": (None, "its file holds what its encoder gave, and not the encoder"),
    "PREFIX_TUNING": ("prefix_projection", "its file holds what its encoder gave, and not the encoder"),
    "VBLORA": ("save_only_topk_weights", "its file holds the chosen vectors alone"),
}
"""Methods that PEFT does not load as they were trained, with the field that makes it so, and why."""


def check_training(training: TrainingConfig) -> None:
    """Check the values, the names of parts with rates of their own, and the device."""
    check_values(training, "training")
    for part in training.learning_rates:
        if part not in RATED:
            raise QweftError(f"training.learning_rates.{part}: there is no such part; there are {', '.join(RATED)}")
    check_device(training)


def check_run(config: RunConfig) -> None:
    """Check the sections checkpoints, validation and training, `report_to`, and FSDP's settings."""
    check_sharding(config.model.quantization)
    check_training(config.training)
    check_values(config.checkpoints, "checkpoints")
    check_values(config.validation, "validation")
    if config.validation.patience is not None and config.validation.every is None:
        raise QweftError("validation.patience needs validation.every: so many steps lie between two validations")
    if config.validation.every is not None and config.data.validation_rows == 0:
        raise QweftError("validation.every needs validation rows: set data.validation_rows")
    for name in config.report_to:
        if name not in REPORTS:
            raise QweftError(f"report_to {name}: there is no such place; there are {', '.join(REPORTS)}")
        from transformers.integrations import get_available_reporting_integrations  # takes seconds, and is rarely asked

        if name not in get_available_reporting_integrations():
            raise QweftError(f"report_to {name}: its package is not installed; pip install {name}")


def check_settings(config: RunConfig) -> None:
    """Check the values of a run's config."""
    check_run(config)
    check_evaluation(config.evaluation, config.data)
    check_specification(config.adapter)
    check_on_quantized(config.adapter, config.model.quantization)
    check_data_config(config.data)
    method = method_of(config.adapter)
    field, why = NOT_TAKEN_BACK.get(method, (None, None))
    for key, every in (("checkpoints", config.checkpoints.every), ("validation", config.validation.every)):
        if every is not None and why is not None and (field is None or config.adapter.get(field)):
            named = method if field is None else f"{method} with {field}"
            raise QweftError(f"{key}.every does not go with {named}, which cannot be trained on: {why}; leave it out")


def check_start(config: RunConfig) -> None:
    """Check everything that can be checked before a run loads its model and its data."""
    check_settings(config)
    check_launch()
    check_can_be_written(Path(config.output))
    check_holds_no_model(Path(config.output))
    check_sources(config.data, config.output)
    check_model(config.model)


def check_plan(config: RunConfig) -> None:
    """Check everything that can be checked before a run is planned; a model without a tokenizer needs no data."""
    check_settings(config)
    found = check_model(config.model, needs_weights=False)
    if found.package or not found.local or has_tokenizer(Path(found.location)):
        check_sources(config.data)
