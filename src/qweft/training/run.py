"""One run: load, attach, train, evaluate, save."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from transformers import set_seed

from qweft.adapter.attach import adapter_config, check_targets
from qweft.adapter.folder import read_header
from qweft.claims import claimed_output, set_aside
from qweft.data.checks import check_places
from qweft.data.load import Data, load_data
from qweft.environment import share_said
from qweft.errors import QweftError, saying_when_stopped
from qweft.evaluation.checks import check_evaluation
from qweft.evaluation.loss import check_room, held_out_loss
from qweft.evaluation.on_device import circuit_layers
from qweft.evaluation.row_scores import HeldOutLoss
from qweft.evaluation.saved import base_model, changed, put_on, weights_of
from qweft.files import folder_beside, write_bytes, write_json
from qweft.method.specification import check_on_quantized
from qweft.models.load import LoadedModel, checksum, load_model
from qweft.models.quantization import quantized_as
from qweft.output import Console
from qweft.publish.card import name_base_model, run_card
from qweft.records import marked
from qweft.text import shown
from qweft.training.checkpoints import newest_step
from qweft.training.checks import check_settings
from qweft.training.config import RunConfig
from qweft.training.distributed import is_first_process, processes, whole_state
from qweft.training.loop import DivergedError, Fit, fit, units
from qweft.training.on_device import describe
from qweft.training.record import (
    RECORD,
    check_judged_alike,
    decides,
    finished,
    is_judged,
    is_of,
    left_to_judge,
)
from qweft.training.run_folder import (
    BEST,
    CARD,
    CHECKPOINTS,
    best_since,
    check_may_be_renamed,
    curves_in,
    is_begun,
    kept,
    remove_empty,
    remove_what_is_done,
    run_callbacks,
    written,
)
from qweft.training.starts import attach_for_training, save_on_plain_weights

WEIGHTS = "adapter_model.safetensors"
MAKE_ROOM = "make room there, or allow writing, and run"
"""Begins what to do about a disk; the way to run again follows."""


@dataclass(frozen=True)
class TrainedRun:
    """Results of a run.

    Args:
        adapter_folder: Folder of the adapter, in PEFT's format.
        trainable_parameters: Number of trained parameters.
        fit: Results of the training.
        base: The base model's held-out loss.
        adapted: The adapted model's held-out loss on the same rows.
    """

    adapter_folder: Path
    trainable_parameters: int
    fit: Fit
    base: HeldOutLoss
    adapted: HeldOutLoss

    @classmethod
    def from_record(cls, record: dict[str, Any], output: Path) -> "TrainedRun":
        """Return the results of a finished run from its record.

        Raises:
            QweftError: If the record lacks a result.
        """
        try:
            base, adapted = (HeldOutLoss(**record[name]) for name in ("base", "adapted"))
            return cls(output / "adapter", record["trainable_parameters"], _fit_of(record), base, adapted)
        except (KeyError, TypeError) as error:
            raise _damaged(output, error) from error


def _fit_of(record: dict[str, Any]) -> Fit:
    """Return the results of the training in a record.

    Raises:
        KeyError: They are not there.
        TypeError: They are of other types.
    """
    training = record["training"]
    if not isinstance(training, dict):
        raise TypeError(f"training: expected a mapping, got {shown(training)}")
    lists = {name: tuple(map(_paired, value)) for name, value in training.items() if isinstance(value, list)}
    found = Fit(**training | lists)
    numbers = found.train_loss, found.steps, found.step_seconds_median or 0, found.cpu_by_others or 0
    if not all(isinstance(number, int | float) for number in numbers):
        raise TypeError(f"training: expected numbers, got {shown(numbers)}")
    return found


def _paired(value: Any) -> Any:
    """Return a pair of a curve as it was before JSON made a list of it."""
    return tuple(value) if isinstance(value, list) else value


def _damaged(output: Path, error: Exception) -> QweftError:
    """Return the error on the record of a finished run that lacks a result."""
    return QweftError(f"{output / RECORD} is damaged ({error}); remove that file to train anew, or give --resume no")


def save_adapter(model: Any, folder: Path, state: dict[str, Any] | None = None, hub_id: str | None = None) -> None:
    """Save the adapter in PEFT's format, atomically.

    Args:
        model: The adapted model.
        folder: Folder to write; an existing one is replaced.
        state: What `whole_state` returned, if tensors are sharded over processes.
        hub_id: Hub id of the base model, which the config and the card name, so that others can load the adapter;
            `None` if it is not on the hub, and only its folder can be named.
    """
    with folder_beside(folder) as temporary:
        model.save_pretrained(temporary, **(state or {}))
        save_on_plain_weights(model, temporary)
        name_base_model(temporary, hub_id)


def weights_bytes(folder: Path) -> int | None:
    """Return the size of an adapter's safetensors file in bytes; `None` if there is no file of PEFT's name."""
    file = folder / WEIGHTS
    return file.stat().st_size if file.is_file() else None


def _is_whole(folder: Path, record: dict[str, Any]) -> bool:
    """Whether the adapter of a recorded run is there, with as many bytes as it had; earlier records may not say it."""
    found = weights_bytes(folder)
    return found is not None and record.get("adapter_bytes", found) == found


def _keep_earlier_run(output: Path, is_same: bool, console: Console) -> None:
    """Rename the output folder of an earlier run, so that no trained adapter is overwritten.

    Raises:
        QweftError: It cannot be renamed.
    """
    is_finished = (output / RECORD).is_file()
    if not is_begun(output):
        return
    aside = set_aside(output)
    remove_empty(aside)
    other = "was another one, by its configuration, rows, base model or processes, and"
    console.print(
        f"the earlier run in {output} {'' if is_same else f'{other} '}is now {aside}"
        if is_finished
        else f"what {output} held of a run without a record is now {aside}",
        highlight=False,
    )


@dataclass(frozen=True)
class _Work:
    """What a run reads, and how it judges and records.

    Args:
        config: The run's config, with the numbers of held-out rows.
        output: Its output folder.
        loaded: The base model.
        data: The rows.
        weights: Checksum of the base model's weights.
        console: Where the first process prints.
    """

    config: RunConfig
    output: Path
    loaded: LoadedModel
    data: Data
    weights: str
    console: Console

    def judged(self, model: Any) -> HeldOutLoss:
        """Return the model's loss on the held-out rows."""
        judging = self.config.evaluation
        rows = self.data.test if judging.split == "test" else self.data.validation
        return held_out_loss(model, rows, self.loaded.tokenizer.pad_token_id, judging.batch_size)

    def save(self, model: Any, trained: Fit, trainable: int, base: HeldOutLoss, resumes: bool) -> None:
        """Save the adapter with a record of the training, from which a later start goes on: it has yet to be judged.

        Every process calls it, and the first one writes; `resumes` says whether the run has checkpoints to go on from.

        Raises:
            QweftError: A file cannot be written.
        """
        state, folder = whole_state(model), self.output / "adapter"
        if not is_first_process():
            return
        again = "again; with checkpoints.every it would go on from there"
        if resumes or self.config.checkpoints.every is not None:
            again = "with --resume auto" if resumes else "again; there is no checkpoint to go on from"
        best = "" if trained.best_step is None else f"; the best adapter so far is in {self.output / BEST}"
        try:
            save_adapter(model, folder, state, self.loaded.source.hub_id)
        except (OSError, RuntimeError, SafetensorError) as error:  # a full disk raises any of these
            raise QweftError(
                f"the adapter could not be written to {self.output} ({_first_line(error)}); {MAKE_ROOM} {again}{best}"
            ) from error
        self._write_record(self._record(trained, trainable, base, None), again)

    def finish(self, model: Any, trained: Fit, trainable: int, base: HeldOutLoss) -> TrainedRun:
        """Judge the saved adapter, which is on the model, and write its record; the first process writes.

        Raises:
            QweftError: The record cannot be written.
        """
        adapted = self.judged(model)
        found = TrainedRun(self.output / "adapter", trainable, trained, base, adapted)
        if not is_first_process():
            return found
        record = self._record(trained, trainable, base, adapted)
        shapes = {key: tuple(tensor.shape) for key, tensor in read_header(found.adapter_folder / WEIGHTS).items()}
        card = run_card(record, model.active_peft_config, shapes)
        self._write_record(record, "with --resume auto", card)
        remove_what_is_done(self.output, self.config)
        seconds = trained.step_seconds_median
        beside = f", CPU taken by others: {share_said(trained.cpu_by_others)}"
        each = "" if seconds is None else f", {seconds:.2f} s each{beside}"
        self.console.print(
            f"{self.config.evaluation.split} loss {base.loss:.4f} -> {adapted.loss:.4f}, perplexity "
            f"{base.perplexity:.2f} -> {adapted.perplexity:.2f} ({trained.steps} steps{each})",
            highlight=False,
        )
        return found

    def _record(self, trained: Fit, trainable: int, base: HeldOutLoss, adapted: HeldOutLoss | None) -> dict[str, Any]:
        """Return what `run.json` holds of a run, except the adapter's size; `adapted` is `None` until it is judged."""
        return {
            "config": asdict(self.config),
            "decides": decides(self.config),
            "processes": processes(),
            "examples": len(units(self.config.training, self.data.train)),
            "model_origin": self.loaded.source.origin,
            "model_hub_id": self.loaded.source.hub_id,
            "weights": self.weights,
            "dtype": str(self.loaded.dtype),
            "data": asdict(self.data.report),
            "trainable_parameters": trainable,
            "training": asdict(trained),
            "base": asdict(base),
            "adapted": None if adapted is None else asdict(adapted),
        }

    def _write_record(self, record: dict[str, Any], again: str, card: str | None = None) -> None:
        folder = self.output / "adapter"
        try:
            if card is not None:
                write_bytes(folder / CARD, card.encode())
            write_json(self.output / RECORD, marked(record) | {"adapter_bytes": weights_bytes(folder)})
        except OSError as error:
            raise QweftError(
                f"the adapter is in {folder}, and its record could not be written to {self.output / RECORD} "
                f"({_first_line(error)}); {MAKE_ROOM} {again}"
            ) from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0][:200]


def train(config: RunConfig, reads: Sequence[str] = ()) -> TrainedRun:
    """Train one adapter and save it to `config.output`/adapter, with the run's record in `config.output`/run.json.

    In several processes (accelerate launch), all of them train and the first one writes.

    Args:
        config: The run's config, which is checked before training starts.
        reads: Files that the command reads beside what the config names: its config file.

    Returns:
        The run's results; those on record if `config.resume` is "auto" and the run has finished before.

    Raises:
        QweftError: If the config is wrong, another process holds the output folder, the model or the data cannot be
            loaded, the training loss becomes NaN or infinite, or the adapter cannot be written.
    """
    check_settings(config)
    output = Path(config.output)
    before = written(output)
    with ExitStack() as stack:
        if is_first_process():
            stack.enter_context(claimed_output(output, "qweft train"))
            stack.callback(remove_empty, output)
        stack.enter_context(saying_when_stopped(lambda: kept(output, config, before)))
        try:
            return _train(config, output, reads)
        except DivergedError as error:
            raise DivergedError(f"{error}{best_since(output, before)}", error.curve) from error


def _train(config: RunConfig, output: Path, reads: Sequence[str]) -> TrainedRun:
    """Train as `train` does, with a checked config and a claimed output folder."""
    is_first = is_first_process()
    earlier = finished(output / RECORD, config)
    work, peft_config = _loaded(config, output, Console(quiet=not is_first))
    config, loaded, data, console = work.config, work.loaded, work.data, work.console
    same = earlier is not None and is_of(earlier, data.report.fingerprint, work.weights, str(loaded.dtype))
    if earlier is not None and same and config.resume == "auto" and _is_whole(output / "adapter", earlier):
        if not is_judged(earlier):
            return _judged_later(work, earlier)
        check_judged_alike(earlier, config.evaluation.split, output)
        if is_first and newest_step(output / CHECKPOINTS) is not None:  # it was killed as it removed them
            remove_what_is_done(output, config)
        console.print(f"this run is finished already ({output / RECORD})", highlight=False)
        if left := left_to_judge(earlier, config.evaluation, output):
            console.print(f"for what is asked of its evaluation now: {left}", highlight=False)
        return TrainedRun.from_record(earlier, output)
    set_seed(config.training.seed)
    before, pad = weights_of(loaded.model), loaded.tokenizer.pad_token_id
    model = attach_for_training(loaded.model, peft_config, data.train, pad, config.training)
    if config.training.measures:
        circuit_layers(model)  # raises if the adapter has no circuit
        console.print(describe(config.training), highlight=False)
    trainable, total = model.get_nb_trainable_parameters()
    console.print(f"training {trainable:,} of {total:,} parameters, {config.rate_line}", highlight=False)
    tell = partial(console.print, highlight=False)
    callbacks = run_callbacks(config, output, loaded, data, tell, work.weights)
    if is_first and callbacks.found is None:
        check_may_be_renamed(output, config, reads)
        callbacks = replace(callbacks, begin=lambda: _keep_earlier_run(output, same, console))
    with base_model(changed(before, model), model, config.model) as untouched:
        base = work.judged(untouched)
    with curves_in(output):
        trained = fit(model, data.train, pad, callbacks.left_of(config.training), callbacks=callbacks)
    for warning in trained.warnings:
        console.print(f"warning: {warning}", highlight=False)
    resumes = callbacks.checkpoints is not None and not callbacks.checkpoints.is_empty
    work.save(model, trained, trainable, base, resumes)  # before it is judged: a stop there costs no training
    return work.finish(model, trained, trainable, base)


def _loaded(config: RunConfig, output: Path, console: Console) -> tuple[_Work, Any]:
    """Load the base model and the rows, and check the adapter on them; return them with the adapter's config."""
    check_places(config.data)
    peft_config = adapter_config(config.adapter)
    if config.model.quantization is not None:  # what cannot be trained there is told before the weights are read
        check_targets(load_model(replace(config.model, device="meta")).model, peft_config)
    loaded = load_model(config.model)
    check_on_quantized(config.adapter, quantized_as(loaded.model))  # known only now of a model that was saved so
    check_targets(loaded.model, peft_config)
    console.print(f"model {loaded.source.origin}, {loaded.dtype}, {loaded.device}")
    data = load_data(config.data, loaded.tokenizer)
    check_room(loaded.model, data.rows(config.evaluation.split))
    config = replace(config, data=data.config)
    check_evaluation(config.evaluation, config.data)  # again, as the number of rows may be known only now
    console.print(data.report.describe(), highlight=False)
    return _Work(config, output, loaded, data, checksum(loaded.model), console), peft_config


def _judged_later(work: _Work, earlier: dict[str, Any]) -> TrainedRun:
    """Judge the adapter of a run that was stopped as it was judged.

    Raises:
        QweftError: Its record is damaged, or the adapter does not load.
    """
    work.console.print(f"this run is trained already ({work.output / RECORD}), and is judged now", highlight=False)
    try:
        trained, trainable = _fit_of(earlier), int(earlier["trainable_parameters"])
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(work.output, error) from error
    base = work.judged(work.loaded.model)
    return work.finish(put_on(work.loaded, work.output / "adapter"), trained, trainable, base)
