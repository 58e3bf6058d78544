"""How an adapter is exported."""

from dataclasses import dataclass, field
from typing import Literal

from qweft.data.config import DataConfig
from qweft.errors import QweftError
from qweft.evaluation.config import EvaluationConfig
from qweft.models.config import ModelConfig


@dataclass(frozen=True)
class ExportConfig:
    """An export: to what, made from which text, where to.

    The three sections hold what differs from the run that trained the adapter; keys that are not given stay as there.

    Args:
        to: What is made: "lora", for every program that loads LoRA.
        calibration: Text that the circuit is fitted on, as data.source takes it; none means the training rows of the
            run. The report is on the run's held-out rows, or, where no run.json is beside the adapter, on rows of this
            text that are not fitted on.
        calibration_tokens: At most so many tokens of it; 16384 unless given.
        distill_steps: So many training steps against the hybrid model follow the fit; 0 unless given.
        distill_learning_rate: Their learning rate, falling to zero; 0.001 unless given.
        largest_lost_share: The export is refused if it loses more than this share of what the adapter gains over the
            base model, in held-out loss; 0.1 unless given.
        output: Folder of the exported adapter; none means the folder "lora" beside the adapter's.
        model: The base model.
        data: The text, where it differs from the run that trained the adapter.
        evaluation: The judging.
    """

    to: Literal["lora"] = "lora"
    calibration: str | None = None
    calibration_tokens: int = 16384
    distill_steps: int = 0
    distill_learning_rate: float = 1e-3
    largest_lost_share: float = 0.1
    output: str | None = None
    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)


def check_export(config: ExportConfig) -> None:
    """Check the ranges that types do not tell.

    Raises:
        QweftError: Naming the key, the value, and what it may be.
    """
    if config.calibration_tokens < 1:
        raise QweftError(
            f"calibration_tokens must be at least 1, got {config.calibration_tokens}; 16384 is the default"
        )
    if config.distill_steps < 0:
        raise QweftError(f"distill_steps must be 0 or more, got {config.distill_steps}")
    if not config.distill_learning_rate > 0:
        raise QweftError(f"distill_learning_rate must be above 0, got {config.distill_learning_rate}")
    if not 0 <= config.largest_lost_share <= 1:
        raise QweftError(
            f"largest_lost_share is a share of the adapter's gain, from 0 to 1, got {config.largest_lost_share}"
        )
