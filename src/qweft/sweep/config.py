"""What is searched, and within which budget."""

from dataclasses import dataclass, field
from typing import Any, Literal

from qweft.data.config import DataConfig
from qweft.evaluation.config import EvaluationConfig
from qweft.models.config import ModelConfig
from qweft.training.config import TrainingConfig


@dataclass(frozen=True)
class SpaceConfig:
    """What varies: {values: [2, 4, 8]}, or {low: 1e-3, high: 3e-2} with `log: true` or a `step`.

    Args:
        adapter: By field of the adapter: r, circuit_layers, width, bond_dimension, core.
        training: By field of the training section: learning_rate, batch_size, max_steps and so on.
    """

    adapter: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class SweepConfig:
    """Many configurations of one adapter on one model and one data set: `qweft sweep`.

    Args:
        model: The base model, the same for all trials.
        data: The text; trials are judged on validation rows, the best one on test rows.
        training: What the space leaves fixed of the training.
        evaluation: The judging; its split is the validation rows, and no answers are generated.
        adapter: What the space leaves fixed of the adapter: `preset` or `peft_type` with any fields.
        space: What varies.
        trials: So many configurations are trained in all; a higher number later goes on.
        seconds: No further trial begins once the finished ones took so long together; none sets no limit.
        max_parameters: A configuration that trains more is not drawn; none sets no limit.
        sampler: tpe learns from the trials before, random does not, grid takes all combinations in their order.
        at_once: So many trials may be made at once: tpe looks at those only that are at least so far back, and so
            proposes the same ones whoever makes them.
        seed: Seeds the draws; the training's own seed is training.seed.
        executor: local is this machine, ray a Ray cluster (RAY_ADDRESS; without one, of this machine).
        workers: Processes of this machine, or actors of the cluster; none means one, or on a cluster one for each GPU
            (for each machine, where there are none).
        output: Folder of the sweep.
    """

    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    adapter: dict[str, Any] = field(default_factory=lambda: {"preset": "qtha"})
    space: SpaceConfig = field(default_factory=SpaceConfig)
    trials: int = 20
    seconds: float | None = None
    max_parameters: int | None = None
    sampler: Literal["tpe", "random", "grid"] = "tpe"
    at_once: int = 4
    seed: int = 0
    executor: Literal["local", "ray"] = "local"
    workers: int | None = None
    output: str = "runs/sweep"
