"""Which methods are compared, and under which budget."""

from dataclasses import dataclass, field
from typing import Any, Literal

from qweft.data.config import DataConfig
from qweft.evaluation.config import EvaluationConfig
from qweft.models.config import ModelConfig
from qweft.training.config import TrainingConfig


@dataclass(frozen=True)
class MethodConfig:
    """One method of a comparison.

    Args:
        adapter: As in a run: `preset` with fields of `QwthnConfig`, or `peft_type` with fields of that method's config;
            or `rival: quantum-adapter` with fields of its config.
        learning_rate: This method's own peak learning rate; none means the one that `search` finds, or else the
            training section's.
        match_parameters: Name of another method of the comparison: the rank is chosen so that the number of trainable
            parameters is nearest to that method's.
        match_time: Name of another method of the comparison: as many steps as take the time of that method's training;
            the times of a step are measured in turn before the runs.
        rate_of: Name of another method of the comparison, whose learning rate this one takes over.
    """

    adapter: dict[str, Any]
    learning_rate: float | None = None
    match_parameters: str | None = None
    match_time: str | None = None
    rate_of: str | None = None


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
        search: Before the runs, choose the learning rate of each method that has none of its own on the validation
            rows.
        rates: Learning rates that the search and `qweft tune` try for each method.
        search_steps: Steps of each training of the search; none means those of the training section.
        search_seeds: The search judges a rate by the mean loss over so many of the seeds, the first ones.
        inspect: After training at the first seed, measure what each adapter of this package does, on validation rows.
        executor: local is this machine, ray a Ray cluster (RAY_ADDRESS; without one, of this machine).
        workers: Processes of this machine, or actors of the cluster; none means one, or on a cluster one for each GPU
            (for each machine, where there are none).
        output: Folder of the comparison.
    """

    methods: dict[str, MethodConfig]
    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    seeds: list[int] = field(default_factory=lambda: [0, 1, 2])
    reference: str = "lora"
    search: bool = False
    rates: list[float] = field(default_factory=lambda: [1e-3, 3e-3, 1e-2, 3e-2])
    search_steps: int | None = None
    search_seeds: int = 1
    inspect: bool = False
    executor: Literal["local", "ray"] = "local"
    workers: int | None = None
    output: str = "runs/compare"
