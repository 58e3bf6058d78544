"""Options of commands that are no config of a package."""

from dataclasses import dataclass, field

from qweft.data.config import DataConfig
from qweft.evaluation.config import EvaluationConfig
from qweft.evaluation.noise.config import NoiseConfig
from qweft.models.config import ModelConfig


@dataclass(frozen=True)
class Check:
    """What `qweft data check` reads.

    Args:
        data: The data; `source` comes from the argument after check.
        model: The model whose tokenizer and chat template are used. Its weights are not loaded.
    """

    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)


@dataclass(frozen=True)
class Overrides(NoiseConfig):
    """Keys that may differ from the training run, and the device on which the circuits are measured.

    Args:
        model: The base model.
        data: The text.
        evaluation: How the adapter is evaluated.
    """

    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
