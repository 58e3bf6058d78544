"""Which methods are compared, and under which budget."""

from dataclasses import dataclass, field
from typing import Any

from qweft.data.config import DataConfig
from qweft.evaluation.config import EvaluationConfig
from qweft.models.config import ModelConfig
from qweft.training.config import TrainingConfig


@dataclass(frozen=True)
class MethodConfig:
    """One method of a comparison.

    Args:
        adapter: As in a run: `preset` with fields of `QwthnConfig`, or `peft_type` with fields of that method's config.
        learning_rate: This method's own peak learning rate; none means the training section's.
        match_parameters: Name of another method of the comparison: the rank is chosen so that the number of trainable
            parameters is nearest to that method's.
    """

    adapter: dict[str, Any]
    learning_rate: float | None = None
    match_parameters: str | None = None


@dataclass(frozen=True)
class ComparisonConfig:
    """Methods times seeds on one model and one data set: `qweft compare`, `qweft tune`.

    Args:
        model: The base model, the same for all.
        data: The text, in the same order for all methods at each seed.
        training: The budget, the same for all but for the learning rate.
        evaluation: The judging.
        methods: The methods by name; the untouched base model is always added.
        seeds: One run a method and seed.
        reference: The method that the others are measured against.
        rates: Learning rates that `qweft tune` tries for each method, on the validation rows.
        output: Folder of the comparison.
    """

    methods: dict[str, MethodConfig]
    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    seeds: list[int] = field(default_factory=lambda: [0, 1, 2])
    reference: str = "lora"
    rates: list[float] = field(default_factory=lambda: [1e-3, 3e-3, 1e-2, 3e-2])
    output: str = "runs/compare"
