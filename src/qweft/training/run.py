"""One run: load, attach, train, evaluate, save."""

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from transformers import set_seed

from qweft.adapter.attach import adapter_config, attach, check_targets
from qweft.core.claims import claimed_output
from qweft.core.environment import share_said
from qweft.core.errors import QweftError, saying_when_stopped
from qweft.core.files import folder_beside, free_name, remove, write_bytes
from qweft.core.output import Console
from qweft.core.records import read_record, write_record
from qweft.core.text import short_repr
from qweft.data.checks import check_sources
from qweft.data.load import Data, load_data
from qweft.data.tokens import Encoded
from qweft.evaluation.loss import check_room, held_out_loss
from qweft.evaluation.on_device import circuit_layers
from qweft.evaluation.record import RECORD
from qweft.evaluation.saved import base_model, changed, put_on, weights_of
from qweft.evaluation.scores import HeldOutLoss
from qweft.method.effective import needs_rows_first
from qweft.method.presets import stated
from qweft.method.saved import WEIGHTS, shapes_in
from qweft.method.specification import check_on_quantized
from qweft.models.checksum import checksum
from qweft.models.load import LoadedModel, load_model
from qweft.models.quantization import quantized_as
from qweft.publish.card import name_base_model, run_card
from qweft.training.callbacks import IDENTITY, Checkpoints, RunCallbacks, Validation, newest_step, remove_empty, step_of
from qweft.training.checks import check_settings
from qweft.training.config import RunConfig
from qweft.training.distributed import is_first_process, processes, whole_state
from qweft.training.loop import Fit, few_steps, fit, planned_steps, units
from qweft.training.on_device import describe

ADAPTER, BEST, CHECKPOINTS, CURVES = "adapter", "best", "checkpoints", "logs"
"""Folders in a run's output folder."""
RATE_ROWS = 32
"""Training rows whose loss under the base model sets a preset's rate."""


def decides(config: RunConfig) -> dict[str, Any]:
    """Return the settings that determine the result, beside what `is_of` compares."""
    return {
        "model": config.model.decides(),
        "data": config.data.decides(),
        "adapter": stated(config.adapter),
        "training": config.training.decides(needs_rows_first(config.adapter)),
        "validation": asdict(config.validation),
    }


def finished(record: Path, config: RunConfig) -> dict[str, Any] | None:
    """Return the record if a run with the same settings has finished, else `None`."""
    try:
        saved = read_record(record, "remove it to train anew")
        rows = {part: counts["rows"] for part, counts in saved["data"]["parts"].items()}
        # settings that follow from the rows are those of the record
        data, training = config.data.with_held_out(rows), config.training.for_rows(rows["train"])
        config = replace(config, data=data, training=training)
        return saved if saved["decides"] == json.loads(json.dumps(decides(config))) else None
    except (QweftError, AttributeError, KeyError, TypeError):
        return None


def is_of(saved: dict[str, Any], fingerprint: str, weights: str, dtype: str) -> bool:
    """Return whether a record is of these rows and base weights, and of as many processes."""
    theirs = saved["data"]["fingerprint"], saved["weights"], saved["dtype"], saved["processes"]
    return theirs == (fingerprint, weights, dtype, processes())


@dataclass(frozen=True)
class TrainedRun:
    """Results of a run: the adapter's folder, the training, and held-out losses of base and adapted model."""

    adapter_folder: Path
    trainable_parameters: int
    fit: Fit
    base: HeldOutLoss
    adapted: HeldOutLoss


def save_adapter(model: Any, folder: Path, state: dict[str, Any] | None = None, hub_id: str | None = None) -> None:
    """Save the adapter in PEFT's format, atomically, naming its base model's hub id; `state` is of `whole_state`."""
    with folder_beside(folder) as temporary:
        model.save_pretrained(temporary, **(state or {}))
        name_base_model(temporary, hub_id)


def weights_bytes(folder: Path) -> int | None:
    """Return the size of an adapter's safetensors file in bytes; `None` if there is no file of PEFT's name."""
    file = folder / WEIGHTS
    return file.stat().st_size if file.is_file() else None


def train(config: RunConfig) -> TrainedRun:
    """Train one adapter and save it to `config.output`/adapter, with the run's record in `config.output`/run.json.

    In several processes (accelerate launch), all of them train and the first one writes.

    Args:
        config: The run's config, which is checked before training starts.

    Returns:
        The run's results; those on record if `config.resume` is "auto" and the run has finished before.

    Raises:
        QweftError: If the config is wrong, another process holds the output folder, the model or the data cannot be
            loaded, or the training loss becomes NaN or infinite.
    """
    check_settings(config)
    output = Path(config.output)
    with ExitStack() as stack:
        if is_first_process():
            stack.enter_context(claimed_output(output, "qweft train"))
            stack.callback(remove_empty, output / CHECKPOINTS)
        stack.enter_context(saying_when_stopped(lambda: _kept(output, config)))
        earlier = finished(output / RECORD, config) if config.resume == "auto" else None
        run = _loaded(config, Console(quiet=not is_first_process()))
        is_same = earlier is not None and is_of(earlier, run.data.report.fingerprint, run.weights, run.dtype)
        if earlier is not None and is_same and weights_bytes(output / ADAPTER) is not None:
            return _taken_up(run, earlier)
        return _trained(run)


@dataclass(frozen=True)
class _Run:
    """A run whose model and data are loaded, and what it writes."""

    config: RunConfig
    loaded: LoadedModel
    data: Data
    weights: str
    console: Console

    @property
    def output(self) -> Path:
        return Path(self.config.output)

    @property
    def dtype(self) -> str:
        return str(self.loaded.dtype)

    def tell(self, line: str) -> None:
        self.console.print(line, highlight=False)

    def loss(self, model: Any, rows: list[Encoded]) -> HeldOutLoss:
        """Return the model's loss on rows."""
        return held_out_loss(model, rows, self.loaded.tokenizer.pad_token_id, self.config.evaluation.batch_size)

    def judged(self, model: Any) -> HeldOutLoss:
        """Return the model's loss on the held-out rows."""
        return self.loss(model, self.data.held_out(self.config.evaluation.split))

    def loss_of_training_rows(self, model: Any) -> float | None:
        """Return the loss of the first training rows, which sets the rate, where the config asks for that."""
        if self.config.training.found_at_loss is None:
            return None
        return self.loss(model, self.data.train[:RATE_ROWS]).loss

    def callbacks(self) -> RunCallbacks:
        """Return the run's checkpoints, validation and reporting, with the checkpoint to resume from."""
        config, output = self.config, self.output
        identity = decides(config) | {
            "rows": self.data.report.fingerprint,
            "model_origin": self.loaded.source.origin,
            "dtype": self.dtype,
            "weights": self.weights,
            "processes": processes(),  # by which a batch has other rows, and the passes are so many steps
        }
        checkpoints = Checkpoints(output / CHECKPOINTS, identity, config.checkpoints.newest)
        checkpoint = None
        if not (output / RECORD).is_file():  # else the run before was killed as it removed them
            if config.resume == "auto":
                checkpoint = checkpoints.find(self.tell)
            elif newest_step(output / CHECKPOINTS) is not None:
                raise QweftError(f"{output} holds checkpoints of a run that was not finished; go on with --resume auto")
        if checkpoint is not None:
            self.tell(f"going on from step {step_of(checkpoint)} ({checkpoint})")

        def begin() -> None:
            if is_first_process():
                if checkpoint is None:
                    self.set_earlier_aside()
                if config.checkpoints.every is not None:
                    checkpoints.begin()

        def judge(model: Any) -> float:
            return self.loss(model, self.data.validation).loss

        every, patience = config.validation.every, config.validation.patience
        return RunCallbacks(
            checkpoints=checkpoints if config.checkpoints.every is not None else None,
            every=config.checkpoints.every,
            resume_from=checkpoint,
            validation=None if every is None else Validation(every, patience, output / BEST, judge),
            report_to=config.report_to,
            begin=begin,
        )

    def set_earlier_aside(self) -> None:
        """Move what an earlier run left to a folder beside, so that no trained adapter is overwritten."""
        names = (RECORD, ADAPTER, BEST, CURVES, CHECKPOINTS)
        there = [self.output / name for name in names if os.path.lexists(self.output / name)]
        if not any(path.name in (RECORD, ADAPTER, BEST) for path in there):
            return
        aside = free_name(self.output.resolve())
        aside.mkdir()
        for path in reversed(there):  # the record last: until then a kill leaves a run without an adapter
            os.replace(path, aside / path.name)
        self.tell(f"the earlier run in {self.output} is now in {aside}")

    def finish(self, model: Any, trained: Fit, trainable: int, base: HeldOutLoss) -> TrainedRun:
        """Judge the saved adapter, which is on the model, and write its record; the first process writes."""
        adapted = self.judged(model)
        folder = self.output / ADAPTER
        if is_first_process():
            record = self.record(trained, trainable, base, adapted)
            card = run_card(record, model.active_peft_config, shapes_in(folder / WEIGHTS))
            write_bytes(folder / "README.md", card.encode())
            write_record(self.output / RECORD, record, "config")
            self.remove_what_is_done()
            seconds, others = trained.step_seconds_median, share_said(trained.cpu_by_others)
            each = "" if seconds is None else f", {seconds:.2f} s each, other programs used {others} of the CPU"
            self.tell(
                f"{self.config.evaluation.split} loss {base.loss:.4f} -> {adapted.loss:.4f}, perplexity "
                f"{base.perplexity:.2f} -> {adapted.perplexity:.2f} ({trained.steps} steps{each})"
            )
        return TrainedRun(folder, trainable, trained, base, adapted)

    def record(self, trained: Fit, trainable: int, base: HeldOutLoss, adapted: HeldOutLoss | None) -> dict[str, Any]:
        """Return what `run.json` holds of a run; `adapted` is `None` until it is judged."""
        return {
            "config": asdict(self.config),
            "decides": decides(self.config),
            "processes": processes(),
            "examples": len(units(self.config.training, self.data.train)),
            "model_origin": self.loaded.source.origin,
            "model_hub_id": self.loaded.source.hub_id,
            "weights": self.weights,
            "dtype": self.dtype,
            "data": asdict(self.data.report),
            "trainable_parameters": trainable,
            "training": asdict(trained),
            "base": asdict(base),
            "adapted": None if adapted is None else asdict(adapted),
            "adapter_bytes": weights_bytes(self.output / ADAPTER),
        }

    def remove_what_is_done(self) -> None:
        """Remove the checkpoints and the best adapter of a finished run."""
        if self.config.validation.every is not None:
            remove(self.output / BEST)
        if (self.output / CHECKPOINTS / IDENTITY).is_file():
            remove(self.output / CHECKPOINTS)


def _loaded(config: RunConfig, console: Console) -> _Run:
    """Load the base model and the rows, and check the adapter on them."""
    check_sources(config.data)
    peft_config = adapter_config(config.adapter)
    loaded = load_model(config.model)
    check_on_quantized(config.adapter, quantized_as(loaded.model))  # known only now of a model that was saved so
    check_targets(loaded.model, peft_config)
    console.print(f"model {loaded.source.origin}, {loaded.dtype}, {loaded.device}")
    data = load_data(config.data, loaded.tokenizer)
    check_room(loaded.model, data.rows(config.evaluation.split))
    config = replace(config, data=data.config, training=config.training.for_rows(len(data.train)))
    console.print(data.report.describe(), highlight=False)
    return _Run(config, loaded, data, checksum(loaded.model), console)


def _trained(run: _Run) -> TrainedRun:
    """Train, save and judge the adapter."""
    config, data, loaded = run.config, run.data, run.loaded
    set_seed(config.training.seed)
    before = weights_of(loaded.model)
    model = attach(loaded.model, adapter_config(config.adapter))
    if config.training.measures:
        circuit_layers(model)  # raises if the adapter has no circuit
        run.tell(describe(config.training))
    trainable, total = model.get_nb_trainable_parameters()
    callbacks = run.callbacks()
    with base_model(changed(before, model), model, config.model) as untouched:
        base, loss = run.judged(untouched), run.loss_of_training_rows(untouched)
    rate = config.rate_line_at(planned_steps(config.training, data.train), loss)
    run.tell(f"training {trainable:,} of {total:,} parameters, {rate}")
    if note := few_steps(config.training, data.train):
        run.tell(f"note: {note}")
    training = config.training if loss is None else config.training.on(loss)
    with _curves_in(run.output):
        trained = fit(model, data.train, loaded.tokenizer.pad_token_id, training, callbacks=callbacks)
    for warning in trained.warnings:
        run.tell(f"warning: {warning}")
    state = whole_state(model)
    if is_first_process():  # before it is judged: a stop there costs no training, and a later start judges it
        save_adapter(model, run.output / ADAPTER, state, loaded.source.hub_id)
        write_record(run.output / RECORD, run.record(trained, trainable, base, None), "config")
    return run.finish(model, trained, trainable, base)


def _taken_up(run: _Run, earlier: dict[str, Any]) -> TrainedRun:
    """Return the results of a finished run from its record; one that was stopped as it was judged is judged now."""
    output, trainable = run.output, earlier["trainable_parameters"]
    trained = Fit.of(earlier["training"])
    if earlier["adapted"] is None:
        run.tell(f"this run is trained already ({output / RECORD}), and is judged now")
        base = run.judged(run.loaded.model)
        return run.finish(put_on(run.loaded, output / ADAPTER), trained, trainable, base)
    split = earlier["config"]["evaluation"]["split"]
    if split != run.config.evaluation.split:
        raise QweftError(
            f"the run in {output} was judged on its {split} rows; run qweft evaluate "
            f"{short_repr(str(output / ADAPTER))} --evaluation.split {run.config.evaluation.split}"
        )
    run.tell(f"this run is finished already ({output / RECORD})")
    if is_first_process():
        run.remove_what_is_done()  # a kill may have left some
    base, adapted = (HeldOutLoss(**earlier[name]) for name in ("base", "adapted"))
    return TrainedRun(output / ADAPTER, trainable, trained, base, adapted)


def _kept(output: Path, config: RunConfig) -> str:
    """Return what a stopped run leaves, and how to go on."""
    if (saved := finished(output / RECORD, config)) and saved["adapted"] is None:
        return f"the adapter is trained, and in {output / ADAPTER}; the same command with --resume auto judges it"
    step = newest_step(output / CHECKPOINTS)
    if step is not None:
        return f"the checkpoint of step {step} is kept; go on with the same command and --resume auto"
    if (output / BEST).is_dir():
        return f"no checkpoint was kept; the best adapter so far is in {output / BEST}"
    return "nothing was kept; with --checkpoints.every N a stopped run goes on from its last checkpoint"


@contextmanager
def _curves_in(output: Path) -> Iterator[None]:
    """Direct TensorBoard's files to the output folder inside a `with` block, unless the user set another folder."""
    name = "TENSORBOARD_LOGGING_DIR"
    is_set = name in os.environ
    os.environ.setdefault(name, str(output / CURVES))
    try:
        yield
    finally:
        if not is_set:
            del os.environ[name]
