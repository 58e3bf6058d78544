"""Config dataclasses of a training run."""

import math
from dataclasses import asdict, dataclass, field, replace
from typing import Annotated, Any, Literal

from annotated_types import Ge, Le, Lt

from qweft.core.schema import Count, Rate
from qweft.data.config import DataConfig
from qweft.evaluation.config import EvaluationConfig
from qweft.method.specification import default_rate
from qweft.models.config import ModelConfig

MOST_BASIS_ROWS = 64
"""Largest number of rows for fixed bases that is chosen where none is given."""
OF_DEVICES = ("device", "noise", "noise_scale", "shots", "gradient")
"""Settings of circuits that are measured on a device."""
MOST_BATCHES, STEPS_AN_EPOCH = 4, 16
"""Batches per optimizer step that are chosen where none are given, and the steps that an epoch should then have."""


REPORTS = ("tensorboard", "trackio", "wandb", "mlflow", "comet_ml", "swanlab", "neptune", "dvclive")
"""Services of transformers that receive curves."""


@dataclass(frozen=True)
class TrainingConfig:
    """Training settings: AdamW with a cosine schedule and warm-up, as published for the method.

    Args:
        learning_rate: Peak learning rate. `None` means that of the preset, or 5e-4 for methods of PEFT.
        learning_rates: Peak learning rates by part, where they differ from learning_rate: circuit (the angles, or the
            weights of a classical control), tensor_network, linear, other.
        found_in_steps: Steps of the short trainings that found the learning rates. A run of more steps trains at
            (found_in_steps / steps)^(1/5) times these rates (docs/training.md).
        found_at_loss: Loss of the base model, in nats a token, on the text on which learning_rate was found. On rows of
            a lower loss a run trains at loss / found_at_loss times it (docs/training.md). `None` means as given; a
            preset's own rate brings its own.
        epochs: Passes over the training rows; ignored if max_steps is given.
        max_steps: Optimizer steps; `None` means the number that epochs gives.
        batch_size: Rows per device and batch.
        gradient_accumulation: Batches per optimizer step; `None` means 4, or fewer in `qweft train` where an epoch
            would have under 16 steps.
        warmup_ratio: Share of the steps in which the learning rate rises from zero.
        weight_decay: AdamW's weight decay.
        max_gradient_norm: Clip gradients to this norm.
        packing: Pack short rows into sequences as long as the longest row. Packed rows do not attend to each other, and
            the loss covers the same tokens. batch_size then counts packed sequences.
        gradient_checkpointing: Recompute activations in the backward pass instead of storing them.
        logging_steps: Log the loss every this many steps, and at checkpoints and the last step.
        seed: Seed of the adapter's initialization, the data order, dropout and simulated shots.
        device: What runs the circuits in training: exact (the engine), noisy, or any device without a job queue.
        noise: The device's noise model, a name or a YAML file; `None` means the device's own.
        noise_scale: Factor on every error probability of the noise model.
        shots: Measurements per circuit; `None` means exact probabilities.
        gradient: How circuit gradients are computed: exact (by the engine, or by the noisy simulator without shots), or
            parameter_shift, which measures many more circuits on the device.
        basis_rows: Training rows, drawn with the seed, whose gradients give an adapter its fixed bases before the first
            step. A row costs about as much as in training. `None` means half of the rows of an optimizer step, at least
            1 and at most 64, so that the search takes less time than a step.
    """

    learning_rate: Rate | None = None
    learning_rates: dict[str, Annotated[float, Ge(0)]] = field(default_factory=dict)
    found_in_steps: Count | None = None
    found_at_loss: Rate | None = None
    epochs: Rate = 3.0
    max_steps: Count | None = None
    batch_size: Count = 4
    gradient_accumulation: Count | None = None
    warmup_ratio: Annotated[float, Ge(0), Lt(1)] = 0.1
    weight_decay: Annotated[float, Ge(0)] = 0.0
    max_gradient_norm: Rate = 1.0
    packing: bool = False
    gradient_checkpointing: bool = False
    logging_steps: Count = 1
    seed: Annotated[int, Ge(0), Le(2**32 - 1)] = 0
    device: str = "exact"
    noise: str | None = None
    noise_scale: float = 1.0
    shots: int | None = None
    gradient: Literal["exact", "parameter_shift"] = "exact"
    basis_rows: Count | None = None

    @property
    def measures(self) -> bool:
        """Whether circuits run on anything other than the exact engine."""
        return self.device != "exact" or self.gradient != "exact"

    def at(self, steps: int) -> "TrainingConfig":
        """Return the settings of a run of this many steps: rates found in fewer are lowered (docs/training.md)."""
        if self.found_in_steps is None or self.learning_rate is None or steps <= self.found_in_steps:
            return self
        factor = (self.found_in_steps / steps) ** 0.2
        rates = {part: factor * rate for part, rate in self.learning_rates.items()}
        return replace(self, learning_rate=factor * self.learning_rate, learning_rates=rates)

    def on(self, loss: float) -> "TrainingConfig":
        """Return the settings on rows of this loss of the base model: a rate found at a higher one is lowered."""
        if self.found_at_loss is None or self.learning_rate is None or loss >= self.found_at_loss:
            return self
        return replace(self, learning_rate=self.learning_rate * loss / self.found_at_loss)

    @property
    def batches_a_step(self) -> int:
        """Batches per optimizer step."""
        return MOST_BATCHES if self.gradient_accumulation is None else self.gradient_accumulation

    def for_rows(self, rows: int) -> "TrainingConfig":
        """Return the settings with the number of batches per step that suits this many rows, unless it was given."""
        if self.gradient_accumulation is not None:
            return self
        batches = math.ceil(rows / self.batch_size)
        return replace(self, gradient_accumulation=min(max(batches // STEPS_AN_EPOCH, 1), MOST_BATCHES))

    def rows_for_bases(self, processes: int = 1) -> int:
        """Return the number of training rows that give an adapter its fixed bases; processes share a step."""
        if self.basis_rows is not None:
            return self.basis_rows
        return min(max(self.batch_size * self.batches_a_step * processes // 2, 1), MOST_BASIS_ROWS)

    def decides(self, fixed_bases: bool) -> dict[str, Any]:
        """Return the settings that determine the result, as records store them.

        A noise model in a file, which may change, counts by its numbers. With `fixed_bases` an adapter takes its bases
        from rows.
        """
        settings = asdict(self) | {
            "basis_rows": self.rows_for_bases() if fixed_bases else None,
            "gradient_accumulation": self.batches_a_step,
        }
        if not self.measures:
            return {name: value for name, value in settings.items() if name not in OF_DEVICES}
        if self.noise:
            from qweft.devices.noise.model import PAPER, noise_model  # here, since few trainings have noise

            settings["noise"] = self.noise if self.noise == PAPER.name else noise_model(self.noise).identity()
        return settings


@dataclass(frozen=True)
class CheckpointConfig:
    """Checkpoints, from which an interrupted run can resume.

    Args:
        every: Optimizer steps between checkpoints; `None` writes no checkpoints.
        newest: Number of checkpoints to keep; all are removed when the run finishes.
    """

    every: Count | None = None
    newest: Count = 2


@dataclass(frozen=True)
class ValidationConfig:
    """Validation during training; the run saves the adapter with the lowest validation loss.

    Args:
        every: Optimizer steps between validations; `None` skips validation, and the run saves the last adapter.
        patience: Stop after this many validations without a lower loss; `None` never stops early.
    """

    every: Count | None = None
    patience: Count | None = None


@dataclass(frozen=True)
class RunConfig:
    """Config of one run, for `qweft train` and `qweft plan`.

    Args:
        model: The base model.
        data: The training and held-out data.
        adapter: `preset` and any field of `QwthnConfig` ({preset: qtha, r: 8}), or `peft_type` and any field of that
            PEFT method's config ({peft_type: LORA, r: 8}).
        training: The training.
        evaluation: Evaluation on held-out rows.
        checkpoints: Checkpoints during training.
        validation: Validation during training.
        output: Output folder of the run.
        resume: "auto" resumes from the newest checkpoint in the output folder, or starts over without one; "no" starts
            over, and refuses a folder with checkpoints of an unfinished run.
        report_to: Services that also receive the curves: tensorboard (files in the output folder), trackio, wandb,
            mlflow, comet_ml, swanlab, neptune, dvclive. By default nothing is sent anywhere.
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

    def __post_init__(self) -> None:
        if self.training.learning_rate is None:
            rate, _, loss = default_rate(self.adapter)
            training = replace(self.training, learning_rate=rate, found_at_loss=self.training.found_at_loss or loss)
            object.__setattr__(self, "training", training)

    def rate_line_at(self, steps: int | None, loss: float | None = None) -> str:
        """The learning rate of a run of this many steps at this loss of the base model, and where it comes from."""
        rate, origin, _ = default_rate(self.adapter)
        given = self.training
        used = given if loss is None else given.on(loss)
        reasons = []
        if used is not given:
            reasons.append(
                f"the base model's loss is {loss:.2f} here, and was {given.found_at_loss:g} where it was found"
            )
        if steps is not None and (lowered := used.at(steps)) is not used:
            used = lowered
            reasons.append(f"it was found in {given.found_in_steps} steps")
        from_preset = given.learning_rate == rate
        if reasons:
            named = f"{given.learning_rate:g}{f', {origin}' if from_preset else ''}"
            return f"learning rate {used.learning_rate:.3g} (lowered from {named}: {'; '.join(reasons)})"
        return f"learning rate {given.learning_rate:g}{f' ({origin})' if from_preset else ''}"
