"""How an adapter is trained."""

from dataclasses import dataclass, field
from typing import Any

from qweft.data.config import DataConfig
from qweft.evaluation.config import EvaluationConfig
from qweft.models.config import ModelConfig


@dataclass(frozen=True)
class TrainingConfig:
    """One training run: AdamW with a cosine schedule and warm-up, as on record for the method.

    Args:
        learning_rate: Peak learning rate.
        epochs: Passes over the training rows; not used when max_steps is given.
        max_steps: Optimizer steps; none means as many as the epochs take.
        batch_size: Rows a device takes at a time.
        gradient_accumulation: Batches a step adds up.
        warmup_ratio: Share of the steps in which the learning rate rises from zero.
        weight_decay: AdamW's weight decay.
        max_gradient_norm: Longer gradients are shortened to this norm.
        gradient_checkpointing: Compute activations again in the backward pass instead of keeping them.
        logging_steps: The loss is reported every so many steps.
        seed: Seeds the adapter's start, the data order and dropout.
    """

    learning_rate: float = 5e-4
    epochs: float = 3.0
    max_steps: int | None = None
    batch_size: int = 4
    gradient_accumulation: int = 8
    warmup_ratio: float = 0.1
    weight_decay: float = 0.0
    max_gradient_norm: float = 1.0
    gradient_checkpointing: bool = False
    logging_steps: int = 1
    seed: int = 0


@dataclass(frozen=True)
class RunConfig:
    """Everything that one run needs: `qweft train`, `qweft plan`, `qweft evaluate`.

    Args:
        model: The base model.
        data: The text.
        adapter: `preset` and any field of `QwthnConfig` ({preset: qtha, r: 8}), or `peft_type` and any field of that
            PEFT method's config ({peft_type: LORA, r: 8}).
        training: The training.
        evaluation: The judging.
        output: Folder of the run.
    """

    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    adapter: dict[str, Any] = field(default_factory=lambda: {"preset": "qtha"})
    training: TrainingConfig = field(default_factory=TrainingConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    output: str = "runs/train"
