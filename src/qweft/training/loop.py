"""The training itself, on transformers' trainer."""

import math
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
from transformers import Trainer, TrainingArguments
from transformers.trainer_callback import PrinterCallback

from qweft.data.collate import Collator
from qweft.data.tokens import Encoded
from qweft.errors import QweftError
from qweft.training.allocation import allocations
from qweft.training.config import TrainingConfig
from qweft.training.measured import circuits_on_device
from qweft.training.memory import PeakMemory
from qweft.training.progress import StepRecorder

CPU = torch.device("cpu")


class DivergedError(QweftError):
    """The training loss is not a number any more; `curve` is what was logged until then."""

    def __init__(self, sentence: str, curve: tuple[tuple[int, float], ...]):
        super().__init__(sentence)
        self.curve = curve


@dataclass(frozen=True)
class Fit:
    """What a training run leaves besides the weights.

    Args:
        train_loss: Mean training loss over all steps, nats a target token.
        curve: (step, loss) as logged.
        steps: Optimizer steps made.
        step_seconds_median: Median wall time of a step.
        peak_memory_bytes: Largest memory in use while training.
    """

    train_loss: float
    curve: tuple[tuple[int, float], ...]
    steps: int
    step_seconds_median: float
    peak_memory_bytes: int


def steps_of(training: TrainingConfig, rows: int) -> int:
    """Optimizer steps that the config makes on so many rows."""
    if training.max_steps is not None:
        return training.max_steps
    batches = math.ceil(rows / training.batch_size)
    return max(1, math.ceil(training.epochs * max(1, math.ceil(batches / training.gradient_accumulation))))


def arguments(training: TrainingConfig, rows: int, folder: str, device: torch.device = CPU) -> TrainingArguments:
    """The trainer's arguments: AdamW, cosine schedule, warm-up, nothing saved, nothing sent anywhere.

    The same seed gives the same order of the rows whatever is trained: the trainer's sampler has a generator of its
    own, seeded by `data_seed`.
    """
    if device.type == "cuda":
        torch.cuda.set_device(device)
    made = TrainingArguments(
        use_cpu=device.type == "cpu",
        output_dir=folder,
        max_steps=steps_of(training, rows),
        per_device_train_batch_size=training.batch_size,
        gradient_accumulation_steps=training.gradient_accumulation,
        learning_rate=training.learning_rate,
        lr_scheduler_type="cosine",
        # the first step of a warm-up has the rate 0, so a single step must have none
        warmup_steps=min(math.ceil(training.warmup_ratio * steps_of(training, rows)), steps_of(training, rows) - 1),
        weight_decay=training.weight_decay,
        max_grad_norm=training.max_gradient_norm,
        optim="adamw_torch",
        logging_steps=training.logging_steps,
        logging_nan_inf_filter=False,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        label_names=["labels"],
        dataloader_pin_memory=torch.cuda.is_available(),
        seed=training.seed,
        data_seed=training.seed,
    )
    # One process works on the model's own device: on more than one GPU the trainer would split every batch otherwise
    made._n_gpu = min(made.n_gpu, 1)
    return made


def _checkpoint(model: Any, wanted: bool) -> None:
    with warnings.catch_warnings():
        # transformers 5.23 renames these; the releases before it know the old names alone
        warnings.filterwarnings("ignore", ".*gradient_checkpointing.*", FutureWarning)
        if wanted:
            model.gradient_checkpointing_enable({"use_reentrant": False})
        else:
            model.gradient_checkpointing_disable()


def fit(
    model: Any, rows: Sequence[Encoded], pad_token_id: int, training: TrainingConfig, label: str = "training"
) -> Fit:
    """Train what requires gradients in the model.

    Args:
        model: A causal language model with an adapter attached; trained in place, left in evaluation mode.
        rows: The training rows.
        pad_token_id: Fills rows of a batch up to the longest.
        training: The budget.
        label: What the progress bar says.

    Raises:
        DivergedError: If the loss stops being a number: the learning rate is too high for this method.
    """
    circuits = circuits_on_device(model, training)
    recorder = StepRecorder(label)
    cached = model.config.use_cache
    model.config.use_cache = False  # keys and values are kept for generation alone
    if training.gradient_checkpointing:
        _checkpoint(model, True)
    try:
        with tempfile.TemporaryDirectory() as folder, PeakMemory(model.device) as memory, circuits:
            args = arguments(training, len(rows), folder, model.device)
            trainer = Trainer(
                model=model,
                args=args,
                train_dataset=list(rows),  # type: ignore[arg-type]
                data_collator=Collator(pad_token_id),
                callbacks=[recorder, *allocations(model)],
            )
            trainer.remove_callback(PrinterCallback)
            outcome = trainer.train()
    finally:
        recorder.stop()
        model.config.use_cache = cached
        if training.gradient_checkpointing:
            _checkpoint(model, False)
        model.eval()
    broken = [step for step, loss in recorder.curve if not math.isfinite(loss)]
    if broken:
        raise DivergedError(
            f"the training loss is not a number from step {broken[0]} on; lower training.learning_rate "
            f"(now {training.learning_rate:g})",
            tuple(recorder.curve),
        )
    return Fit(
        outcome.training_loss, tuple(recorder.curve), outcome.global_step, median(recorder.seconds), memory.bytes
    )
