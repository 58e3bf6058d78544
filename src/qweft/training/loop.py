"""The training loop, built on transformers' `Trainer`."""

import math
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import torch
from transformers import TrainerCallback, TrainingArguments
from transformers.trainer_callback import PrinterCallback

from qweft.adapter.find_bases import find_bases, without_bases
from qweft.core.errors import QweftError, told_of_memory
from qweft.core.progress import with_progress
from qweft.data.batches import Collator, Pack, PackingCollator, pack
from qweft.data.tokens import Encoded
from qweft.evaluation.generation import reads_whole_text
from qweft.evaluation.loss import check_room, device_of, judged
from qweft.method.specification import DEFAULT_RATE
from qweft.models.quantization import quantized_as
from qweft.training.callbacks import ALONE, RunCallbacks, Validation
from qweft.training.config import TrainingConfig
from qweft.training.distributed import processes, settle_sharding
from qweft.training.on_device import circuits_on_device
from qweft.training.trainer import GradientWatch, RunTrainer, StepRecorder, check_rates, peak_memory

CPU = torch.device("cpu")
TOLERANCE, COARSE_TOLERANCE = 1e-4, 0.02  # largest difference, relative to the largest logit; in half precision
FEW = 30
"""Below so many optimizer steps a run is told that they are few."""


class DivergedError(QweftError):
    """The training loss is NaN or infinite; `curve` holds the losses logged so far, as (step, loss)."""

    def __init__(self, sentence: str, curve: tuple[tuple[int, float], ...]):
        super().__init__(sentence)
        self.curve = curve


@dataclass(frozen=True)
class Fit:
    """Results of a training, losses in nats a target; times are `None` if a resumed run had no steps left."""

    train_loss: float
    curve: tuple[tuple[int, float], ...]
    steps: int
    step_seconds_median: float | None
    peak_memory_bytes: int
    best_step: int | None = None
    validation_curve: tuple[tuple[int, float], ...] = ()
    warnings: tuple[str, ...] = ()
    basis_seconds: float = 0.0
    step_seconds_spread: float | None = None
    cpu_by_others: float | None = None
    load_average: float | None = None

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> "Fit":
        """Return the results in a record."""
        curves = {name: tuple(map(tuple, record[name])) for name in ("curve", "validation_curve")}
        return cls(**{**record, **curves, "warnings": tuple(record["warnings"])})


def units(training: TrainingConfig, rows: Sequence[Encoded]) -> list[Any]:
    """Return the examples of a batch: the rows, or packs at most as long as the longest row."""
    return pack(rows, max(len(row["input_ids"]) for row in rows)) if training.packing else list(rows)


def steps_of(training: TrainingConfig, rows: int, processes: int = 1) -> int:
    """Return the number of optimizer steps for this many rows or packs, shared by some processes."""
    if training.max_steps is not None:
        return training.max_steps
    batches = math.ceil(rows / training.batch_size / processes)
    return max(1, math.ceil(training.epochs * max(1, math.ceil(batches / training.batches_a_step))))


def planned_steps(training: TrainingConfig, rows: Sequence[Encoded]) -> int:
    """Return the number of optimizer steps of a run on these rows, packed if the config says so."""
    return steps_of(training, len(units(training, rows)))


def few_steps(training: TrainingConfig, rows: Sequence[Encoded]) -> str:
    """Return a sentence if the run's epochs give few optimizer steps, else an empty text."""
    steps = planned_steps(training, rows)
    if training.max_steps is not None or steps >= FEW:
        return ""
    way = f"raise training.epochs (now {training.epochs:g})"
    if training.batches_a_step > 1:
        way += f", or lower training.gradient_accumulation (now {training.batches_a_step})"
    return f"{steps} steps are few to learn from; {way}"


class RankAllocation(TrainerCallback):
    """Calls the tuner's `update_and_allocate` after each optimizer step, while gradients exist, as PEFT requires."""

    def on_optimizer_step(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """Update the ranks; `state.global_step` does not count this step yet."""
        model.base_model.update_and_allocate(state.global_step)


class _OneDevice(TrainingArguments):
    """Training arguments for one device per process: with more GPUs the trainer would split every batch."""

    @property
    def n_gpu(self) -> int:
        """Number of GPUs, at most one."""
        return min(super().n_gpu, 1)


def arguments(
    training: TrainingConfig, rows: int, folder: str, device: torch.device = CPU, callbacks: RunCallbacks = ALONE
) -> TrainingArguments:
    """Return the trainer's arguments: AdamW with a cosine schedule and warm-up."""
    if device.type == "cuda":
        torch.cuda.set_device(device)
    steps = steps_of(training, rows, processes())
    return _OneDevice(
        use_cpu=device.type == "cpu",
        output_dir=folder,
        max_steps=steps,
        per_device_train_batch_size=training.batch_size,
        gradient_accumulation_steps=training.batches_a_step,
        learning_rate=training.learning_rate or DEFAULT_RATE,
        lr_scheduler_type="cosine",
        # the first warm-up step has learning rate 0, so a run of a single step must not warm up
        warmup_steps=min(math.ceil(training.warmup_ratio * steps), steps - 1),
        weight_decay=training.weight_decay,
        max_grad_norm=training.max_gradient_norm,
        optim="adamw_torch_fused",  # a network is many small tensors: one call for all instead of ten for each
        logging_steps=training.logging_steps,
        logging_nan_inf_filter=False,
        save_strategy="steps" if callbacks.every else "no",
        save_steps=callbacks.every or 500,
        report_to=list(callbacks.report_to) or "none",
        disable_tqdm=True,
        remove_unused_columns=False,
        label_names=["labels"],
        dataloader_pin_memory=torch.cuda.is_available(),
        seed=training.seed,
        data_seed=training.seed,
    )


@contextmanager
def _set_for_training(model: Any, checkpointing: bool) -> Iterator[None]:
    """Turn gradient checkpointing on and the cache of keys and values off inside a `with` block."""
    shape = model.config.get_text_config()  # of a PEFT model, too
    cached, shape.use_cache = getattr(shape, "use_cache", None), False
    with warnings.catch_warnings():
        # transformers 5.23 renames these methods; earlier releases only have the old names
        warnings.filterwarnings("ignore", ".*gradient_checkpointing.*", FutureWarning)
        try:
            if checkpointing:
                model.gradient_checkpointing_enable({"use_reentrant": False})
        except ValueError as error:
            raise QweftError(f"training.gradient_checkpointing: {error} Leave it out") from error
        try:
            yield
        finally:
            shape.use_cache = cached
            if checkpointing:
                model.gradient_checkpointing_disable()
            model.eval()


def _find_bases(
    model: Any, rows: Sequence[Encoded], pad_token_id: int, training: TrainingConfig, processes: int
) -> float:
    """Find the missing fixed bases of an adapter; return the seconds that it took, 0 if no bases were missing."""
    missing = without_bases(model)
    if not missing:
        return 0.0
    started = time.perf_counter()
    collate, size = Collator(pad_token_id), training.batch_size
    drawn = torch.randperm(len(rows), generator=torch.Generator().manual_seed(training.seed))
    chosen = [rows[place] for place in drawn[: training.rows_for_bases(processes)].tolist()]
    batches = [chosen[at : at + size] for at in range(0, len(chosen), size)]
    for name in missing:
        find_bases(model, map(collate, with_progress(batches, "finding the fixed bases", "row", len)), name)
    return time.perf_counter() - started


def check_apart(model: Any, packs: Sequence[Pack], pad_token_id: int) -> None:
    """Check that packed rows do not attend to each other."""
    two = next((one[:2] for one in packs if len(one) > 1), None)
    if two is None:
        return
    collate = PackingCollator(pad_token_id)
    first = len(two[0]["input_ids"])

    def logits(packs: list[Pack]) -> torch.Tensor:
        batch = collate(packs)
        inputs = {name: batch[name].to(device_of(model)) for name in ("input_ids", "position_ids")}
        try:
            return model(**inputs, use_cache=False).logits[0].float()
        except TypeError as error:  # the model takes no position_ids
            raise QweftError(
                f"training.packing: the model takes no position_ids ({error}); set training.packing to false"
            ) from error

    with judged(model):
        packed, alone = logits([two])[first:], logits([[two[1]]])
    is_rounded = next(model.parameters()).dtype.itemsize < 4 or quantized_as(model) == "8bit"
    tolerance = COARSE_TOLERANCE if is_rounded else TOLERANCE
    # the logits may not show it yet: an adapter starts near nothing
    if reads_whole_text(model) or not bool((packed - alone).abs().max() <= tolerance * alone.abs().max()):
        kind = type(getattr(model, "base_model", model)).__name__
        name = getattr(getattr(model, "config", None), "model_type", kind)
        raise QweftError(f"training.packing: a model of type {name} does not keep packed rows apart; leave it out")


def fit(
    model: Any,
    rows: Sequence[Encoded],
    pad_token_id: int,
    training: TrainingConfig,
    label: str = "training",
    callbacks: RunCallbacks = ALONE,
) -> Fit:
    """Train the model's parameters that require gradients."""
    circuits = circuits_on_device(model, training)
    recorder, watch = StepRecorder(label), GradientWatch(training.logging_steps)
    checkpoints, validation, checkpoint = callbacks.checkpoints, callbacks.validation, callbacks.resume_from
    own = [each for each in (validation, checkpoints) if each is not None]  # a checkpoint is complete last
    state = callbacks.restored(watch, *own)
    if validation is not None and state is not None and validation.is_over:
        training = replace(training, max_steps=state.global_step)
    check_room(model, rows)
    places = units(training, rows)
    training = training.at(steps_of(training, len(places), processes()))
    if training.packing:
        check_apart(model, places, pad_token_id)
    settings = _set_for_training(model, training.gradient_checkpointing)
    memory = peak_memory(model.device)
    way = (
        f"lower training.batch_size (now {training.batch_size}) and raise training.gradient_accumulation by as much, "
        "set training.gradient_checkpointing, shorten data.max_length, or load the model with model.quantization"
    )
    with told_of_memory(way), recorder, settings, tempfile.TemporaryDirectory() as temporary, memory as peak, circuits:
        settle_sharding()
        # before the bases: creating the arguments sets up the process group that broadcasts the bases
        folder = temporary if checkpoints is None else str(checkpoints.folder)
        args = arguments(training, len(places), folder, model.device, callbacks)
        basis_seconds = 0.0 if state else _find_bases(model, rows, pad_token_id, training, args.world_size)
        if getattr(model, "peft_type", None) == "QWTHN":
            args.ddp_find_unused_parameters = False  # all parameters get gradients; the search slows each step
        check_rates(model, training.learning_rates)
        callbacks.begin()
        trainer = RunTrainer(
            training.learning_rates,
            watch,
            model=model,
            args=args,
            train_dataset=places,
            data_collator=PackingCollator(pad_token_id) if training.packing else Collator(pad_token_id),
        )
        allocates = hasattr(getattr(model, "base_model", None), "update_and_allocate")  # such as AdaLoRA
        for callback in (watch, recorder, *([RankAllocation()] if allocates else []), *own):
            trainer.add_callback(callback)
        trainer.remove_callback(PrinterCallback)
        if validation is not None:
            validation.begin(trainer.log, checkpoint)
        outcome = trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    last = trainer.state.max_steps
    # a run that was stopped after its last step but within an epoch makes one more on resuming, at a rate of zero
    curve = tuple((step, loss) for step, loss in recorder.curve if step <= last)
    _check_finite(curve, training, validation)
    if validation is not None:
        validation.bring_back(model)
    return Fit(
        train_loss=_mean(curve) if curve else outcome.training_loss,
        curve=curve,
        steps=min(outcome.global_step, last),
        step_seconds_median=median(recorder.seconds) if recorder.seconds else None,
        peak_memory_bytes=peak[0],
        best_step=validation.best_step if validation else None,
        validation_curve=tuple((step, loss) for step, loss in validation.curve) if validation else (),
        warnings=tuple(watch.warnings),
        basis_seconds=basis_seconds,
        step_seconds_spread=recorder.spread,
        cpu_by_others=recorder.load.cpu_by_others,
        load_average=recorder.load.load_average,
    )


def _check_finite(
    curve: tuple[tuple[int, float], ...], training: TrainingConfig, validation: Validation | None
) -> None:
    """Raise if a loss is NaN or infinite."""
    broken = [step for step, loss in curve if not math.isfinite(loss)]
    if broken:
        has_best = validation is not None and validation.best_step is not None
        best = f"; the best adapter so far is in {validation.folder}" if validation and has_best else ""
        raise DivergedError(
            f"the training loss is not a number from step {broken[0]} on; lower training.learning_rate "
            f"(now {training.learning_rate:g}){best}",
            curve,
        )


def _mean(curve: Sequence[tuple[int, float]]) -> float:
    """Return the mean over all steps of a curve whose losses are means since the previous entry."""
    steps = [0, *(step for step, _ in curve)]
    pairs = zip(steps, steps[1:], curve, strict=False)
    return sum((now - before) * loss for before, now, (_, loss) in pairs) / steps[-1]
