"""How an adapter is trained."""

from dataclasses import dataclass, field, fields
from typing import Any, Literal

from qweft.data.config import DataConfig
from qweft.evaluation.config import EvaluationConfig
from qweft.models.config import ModelConfig

FIRST_BASIS_ROWS = 64
"""The default of `basis_rows` when it came; runs from before it, and of it, have no such entry in their records."""


@dataclass(frozen=True)
class TrainingConfig:
    """One training run: AdamW with a cosine schedule and warm-up, as on record for the method.

    Args:
        learning_rate: Peak learning rate.
        learning_rates: Peak learning rates of parts that have one of their own: circuit (the angles, or a twin's
            weights), tensor_network, linear, other.
        epochs: Passes over the training rows; not used when max_steps is given.
        max_steps: Optimizer steps; none means as many as the epochs take.
        batch_size: Rows a device takes at a time.
        gradient_accumulation: Batches a step adds up.
        warmup_ratio: Share of the steps in which the learning rate rises from zero.
        weight_decay: AdamW's weight decay.
        max_gradient_norm: Longer gradients are shortened to this norm.
        packing: Put several short rows in the place of one as long as the longest; none sees another, and the loss is
            over the same tokens. batch_size then counts such places.
        gradient_checkpointing: Compute activations again in the backward pass instead of keeping them.
        logging_steps: The loss is reported every so many steps.
        seed: Seeds the adapter's start, the data order, dropout, and simulated shots.
        device: What runs the circuits while training: exact (the engine), noisy, or any device that answers at once.
        noise: The device's noise model, a name or a YAML file; none means the device's own.
        noise_scale: Every probability of error of the noise model times this.
        shots: Measurements of each circuit; none for exact probabilities.
        gradient: How the circuits' gradients are had: exact (of the engine, or of the noisy simulator without shots),
            or parameter_shift, measured on the device by many more circuits.
        basis_rows: Training rows, drawn by the seed, by whose gradients the bases of an adapter that has fixed ones are
            found before the first step. They cost about what as many rows cost in training.
    """

    learning_rate: float = 5e-4
    learning_rates: dict[str, float] = field(default_factory=dict)
    epochs: float = 3.0
    max_steps: int | None = None
    batch_size: int = 4
    gradient_accumulation: int = 8
    warmup_ratio: float = 0.1
    weight_decay: float = 0.0
    max_gradient_norm: float = 1.0
    packing: bool = False
    gradient_checkpointing: bool = False
    logging_steps: int = 1
    seed: int = 0
    device: str = "exact"
    noise: str | None = None
    noise_scale: float = 1.0
    shots: int | None = None
    gradient: Literal["exact", "parameter_shift"] = "exact"
    basis_rows: int = FIRST_BASIS_ROWS

    @property
    def measures(self) -> bool:
        """Whether something else than the exact engine runs the circuits."""
        return self.device != "exact" or self.gradient != "exact"

    def decides(self) -> dict[str, Any]:
        """All that decides what comes out, as a record keeps it.

        What concerns devices is left out where the engine runs the circuits, and what is newer than some records where
        it is not used, so that runs from before it existed are still known for what they are.
        """
        left_out = {name for name in ("learning_rates", "packing") if not getattr(self, name)}
        if self.basis_rows == FIRST_BASIS_ROWS:
            left_out.add("basis_rows")
        if not self.measures:
            left_out |= {"device", "noise", "noise_scale", "shots", "gradient"}
        return {each.name: getattr(self, each.name) for each in fields(self) if each.name not in left_out}


@dataclass(frozen=True)
class CheckpointConfig:
    """What a run keeps while it trains, so that it can go on after it was stopped.

    Args:
        every: Optimizer steps from one checkpoint to the next; none keeps no checkpoint.
        newest: So many are kept; all are removed when the run is finished.
    """

    every: int | None = None
    newest: int = 2


@dataclass(frozen=True)
class ValidationConfig:
    """Judging on the validation rows while training; the adapter of the best loss is what the run leaves.

    Args:
        every: Optimizer steps from one validation to the next; none validates not at all, and the last adapter counts.
        patience: The run ends after so many validations without a better loss; none trains to its end.
    """

    every: int | None = None
    patience: int | None = None


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
        checkpoints: What is kept while it trains.
        validation: The judging while it trains.
        output: Folder of the run.
        resume: "auto" goes on from the newest checkpoint in the output folder, and starts anew where there is none;
            "no" starts anew, and refuses a folder with checkpoints of a run that was not finished.
        report_to: Where curves go too: tensorboard (files in the output folder), trackio, wandb, and whatever else
            transformers knows; nothing is sent anywhere by default.
    """

    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    adapter: dict[str, Any] = field(default_factory=lambda: {"preset": "qtha"})
    training: TrainingConfig = field(default_factory=TrainingConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    checkpoints: CheckpointConfig = field(default_factory=CheckpointConfig)
    validation: ValidationConfig = field(default_factory=ValidationConfig)
    output: str = "runs/train"
    resume: Literal["no", "auto"] = "no"
    report_to: list[str] = field(default_factory=list)
