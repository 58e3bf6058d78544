"""The training loop, on a `Trainer` of transformers."""

import math
import tempfile
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
from transformers import TrainerCallback, TrainingArguments
from transformers.trainer_callback import PrinterCallback

from qweft.adapter.find_bases import find_bases, without_bases
from qweft.data.batches import Collator, Pack, PackingCollator, pack
from qweft.data.tokens import Encoded
from qweft.errors import QweftError
from qweft.evaluation.loss import device_of, judged
from qweft.training.callbacks import ALONE, RunCallbacks
from qweft.training.config import TrainingConfig
from qweft.training.distributed import settle_sharding
from qweft.training.on_device import circuits_on_device
from qweft.training.progress import PeakMemory, StepRecorder
from qweft.training.trainer import GradientWatch, RunTrainer


class RankAllocation(TrainerCallback):
    """Calls the tuner's `update_and_allocate` after each optimizer step, while gradients are there, as PEFT asks."""

    def on_optimizer_step(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """Allocate; `state` still counts the steps before this one."""
        model.base_model.update_and_allocate(state.global_step)


def allocations(model: Any) -> list[TrainerCallback]:
    """The callback, for a model whose method asks for it."""
    return [RankAllocation()] if hasattr(getattr(model, "base_model", None), "update_and_allocate") else []


TOLERANCE = 0.02
"""Largest difference of a logit, as a share of the largest logit: rounding in bfloat16 stays below, a leak does not."""


def check_apart(model: Any, packs: Sequence[Pack], pad_token_id: int) -> None:
    """Run two packed rows, and the same two by themselves.

    Args:
        model: The model.
        packs: Some have two rows; else there is nothing to see.
        pad_token_id: As for the collator.

    Raises:
        QweftError: If the second row's logits depend on the first row.
    """
    two = next((one[:2] for one in packs if len(one) > 1), None)
    if two is None:
        return
    collate = PackingCollator(pad_token_id)
    first = len(two[0]["input_ids"])
    with judged(model):
        packed = _logits(model, collate([two]))[0, first:].float()
        alone = _logits(model, collate([[two[1]]]))[0].float()
    if not bool((packed - alone).abs().max() <= TOLERANCE * alone.abs().max()):
        kind = type(getattr(model, "base_model", model)).__name__
        name = getattr(getattr(model, "config", None), "model_type", kind)
        raise QweftError(
            f"training.packing: a model of type {name} does not keep packed rows apart (it takes no position_ids, or "
            "its attention does not heed them); set training.packing to false"
        )


def _logits(model: Any, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    device = device_of(model)
    inputs = {name: batch[name].to(device) for name in ("input_ids", "position_ids")}
    try:
        logits: torch.Tensor = model(**inputs, use_cache=False).logits
    except TypeError as error:  # no position_ids
        raise QweftError(
            f"training.packing: the model takes no position_ids ({error}); set training.packing to false"
        ) from error
    return logits


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
        steps: Optimizer steps made, those before a resumption among them.
        step_seconds_median: Median wall time of a step; none where a run that goes on had made its last step before.
        peak_memory_bytes: Largest memory in use while training.
        best_step: The step of the adapter that is left, where it was chosen by its validation loss.
        validation_curve: (step, validation loss).
        warnings: What was noticed of the circuits' gradients.
        basis_seconds: Wall time of finding the bases of an adapter that has fixed ones, before the first step.
    """

    train_loss: float
    curve: tuple[tuple[int, float], ...]
    steps: int
    step_seconds_median: float | None
    peak_memory_bytes: int
    best_step: int | None = None
    validation_curve: tuple[tuple[int, float], ...] = ()
    warnings: tuple[str, ...] = ()
    basis_seconds: float = 0.0


def units(training: TrainingConfig, rows: Sequence[Encoded]) -> list[Any]:
    """What a batch holds `batch_size` of: rows, or packs as long as the longest row."""
    return pack(rows, max(len(row["input_ids"]) for row in rows)) if training.packing else list(rows)


def steps_of(training: TrainingConfig, rows: int) -> int:
    """Optimizer steps that the config makes on so many rows or packs, on one device."""
    if training.max_steps is not None:
        return training.max_steps
    batches = math.ceil(rows / training.batch_size)
    return max(1, math.ceil(training.epochs * max(1, math.ceil(batches / training.gradient_accumulation))))


class _OneDevice(TrainingArguments):
    """One process works on the model's own device: on more GPUs the trainer would split every batch."""

    @property
    def n_gpu(self) -> int:
        """At most one."""
        return min(super().n_gpu, 1)


def arguments(
    training: TrainingConfig, rows: int, folder: str, device: torch.device = CPU, beside: RunCallbacks = ALONE
) -> TrainingArguments:
    """The trainer's arguments: AdamW, cosine schedule, warm-up; by default nothing saved and nothing sent anywhere.

    The same seed gives the same order of the rows whatever is trained: the trainer's sampler has a generator of its
    own, seeded by `data_seed`.
    """
    if device.type == "cuda":
        torch.cuda.set_device(device)
    return _OneDevice(
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
        save_strategy="steps" if beside.checkpoint_steps else "no",
        save_steps=beside.checkpoint_steps or 500,
        report_to=list(beside.report_to) or "none",
        disable_tqdm=True,
        remove_unused_columns=False,
        label_names=["labels"],
        dataloader_pin_memory=torch.cuda.is_available(),
        seed=training.seed,
        data_seed=training.seed,
    )


def _checkpoint(model: Any, wanted: bool) -> None:
    with warnings.catch_warnings():
        # transformers 5.23 renames these; the releases before it know the old names alone
        warnings.filterwarnings("ignore", ".*gradient_checkpointing.*", FutureWarning)
        if wanted:
            model.gradient_checkpointing_enable({"use_reentrant": False})
        else:
            model.gradient_checkpointing_disable()


def _find_bases(model: Any, rows: Sequence[Encoded], pad_token_id: int, training: TrainingConfig) -> float:
    """Of an adapter whose fixed ones are not there yet; on a resumed run they come with the checkpoint.

    Returns:
        The seconds it took; 0 where none were missing.
    """
    missing = without_bases(model)
    if not missing:
        return 0.0
    started = time.perf_counter()
    collate, size = Collator(pad_token_id), training.batch_size
    drawn = torch.randperm(len(rows), generator=torch.Generator().manual_seed(training.seed))
    chosen = [rows[place] for place in drawn[: training.basis_rows].tolist()]
    for name in missing:
        find_bases(model, (collate(chosen[at : at + size]) for at in range(0, len(chosen), size)), name)
    return time.perf_counter() - started


def fit(
    model: Any,
    rows: Sequence[Encoded],
    pad_token_id: int,
    training: TrainingConfig,
    label: str = "training",
    beside: RunCallbacks = ALONE,
) -> Fit:
    """Train what requires gradients in the model.

    Args:
        model: A causal language model with an adapter attached; trained in place, left in evaluation mode.
        rows: The training rows.
        pad_token_id: Fills rows of a batch up to the longest.
        training: The budget.
        label: What the progress bar says.
        beside: What is done beside the steps: checkpoints, validation, curves elsewhere.

    Raises:
        DivergedError: If the loss stops being a number: the learning rate is too high for this method.
        QweftError: If rows are to be packed and the model does not keep them apart.
    """
    circuits = circuits_on_device(model, training)
    recorder, watch = StepRecorder(label), GradientWatch(training.logging_steps)
    places = units(training, rows)
    if training.packing:
        check_apart(model, places, pad_token_id)
    cached = model.config.use_cache
    model.config.use_cache = False  # keys and values are kept for generation alone
    if training.gradient_checkpointing:
        _checkpoint(model, True)
    try:
        with tempfile.TemporaryDirectory() as folder, PeakMemory(model.device) as memory, circuits:
            settle_sharding()
            # before the bases: they are given to all processes by the first, and this makes them know each other
            args = arguments(training, len(places), beside.staging or folder, model.device, beside)
            basis_seconds = _find_bases(model, rows, pad_token_id, training) if beside.found is None else 0.0
            if getattr(model, "peft_type", None) == "QWTHN":
                args.ddp_find_unused_parameters = False  # every one has a gradient; looking for others costs each step
            trainer = RunTrainer(
                training.learning_rates,
                watch,
                beside.checkpoints,
                model=model,
                args=args,
                train_dataset=places,  # type: ignore[arg-type]
                data_collator=PackingCollator(pad_token_id) if training.packing else Collator(pad_token_id),
            )
            for callback in (recorder, *allocations(model), *beside.callbacks(trainer)):
                trainer.add_callback(callback)
            trainer.remove_callback(PrinterCallback)
            outcome = trainer.train(resume_from_checkpoint=str(beside.found.folder) if beside.found else None)
    finally:
        recorder.stop()
        model.config.use_cache = cached
        if training.gradient_checkpointing:
            _checkpoint(model, False)
        model.eval()
    last = trainer.state.max_steps
    curve = _finite_curve(recorder.curve, last, training)
    validation = beside.validation
    if validation is not None:
        validation.bring_back(model)
    return Fit(
        _mean(curve) if beside.found else outcome.training_loss,
        curve,
        min(outcome.global_step, last),
        median(recorder.seconds) if recorder.seconds else None,
        memory.bytes,
        validation.best_step if validation else None,
        tuple(validation.curve) if validation else (),
        tuple(watch.warnings),
        basis_seconds,
    )


def _finite_curve(
    logged: Sequence[tuple[int, float]], last: int, training: TrainingConfig
) -> tuple[tuple[int, float], ...]:
    """The losses up to the last step.

    A run that was stopped after its last step, in the middle of an epoch, is given one more by transformers, at the
    rate to which the schedule has fallen, zero: it changes nothing and is not counted.

    Raises:
        DivergedError: If one is not a number.
    """
    curve = tuple((step, loss) for step, loss in logged if step <= last)
    broken = [step for step, loss in curve if not math.isfinite(loss)]
    if broken:
        raise DivergedError(
            f"the training loss is not a number from step {broken[0]} on; lower training.learning_rate "
            f"(now {training.learning_rate:g})",
            curve,
        )
    return curve


def _mean(curve: Sequence[tuple[int, float]]) -> float:
    """Over all steps of a curve, each of whose losses is the mean since the one before it."""
    steps = [0, *(step for step, _ in curve)]
    return (
        sum((now - before) * loss for before, now, (_, loss) in zip(steps, steps[1:], curve, strict=False)) / steps[-1]
    )
