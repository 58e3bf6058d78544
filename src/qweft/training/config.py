"""How an adapter is trained."""

from dataclasses import dataclass, field, fields
from typing import Any, Literal

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
        seed: Seeds the adapter's start, the data order, dropout, and simulated shots.
        device: What runs the circuits while training: exact (the engine), noisy, or any device that answers at once.
        noise: The device's noise model, a name or a YAML file; none means the device's own.
        noise_scale: Every probability of error of the noise model times this.
        shots: Measurements of each circuit; none for exact probabilities.
        gradient: How the circuits' gradients are had: exact (of the engine, or of the noisy simulator without shots),
            or parameter_shift, measured on the device by many more circuits.
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
    device: str = "exact"
    noise: str | None = None
    noise_scale: float = 1.0
    shots: int | None = None
    gradient: Literal["exact", "parameter_shift"] = "exact"

    @property
    def measures(self) -> bool:
        """Whether something else than the exact engine runs the circuits."""
        return self.device != "exact" or self.gradient != "exact"

    def decides(self) -> dict[str, Any]:
        """All that decides what comes out, as a record keeps it.

        What concerns devices is left out where the engine runs the circuits, so that runs from before it existed are
        still known for what they are.
        """
        late = {"device", "noise", "noise_scale", "shots", "gradient"}
        names = [each.name for each in fields(self) if self.measures or each.name not in late]
        return {name: getattr(self, name) for name in names}


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
