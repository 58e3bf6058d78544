"""One run: load, attach, train, evaluate, save."""

import os
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
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
from qweft.evaluation.saved import base_model, changed, weights_of
from qweft.files import folder_beside, write_json
from qweft.method.specification import check_on_quantized
from qweft.models.load import LoadedModel, checksum, load_model
from qweft.models.quantization import quantized_as
from qweft.output import Console
from qweft.publish.card import name_base_model, run_card
from qweft.records import marked
from qweft.training.checkpoints import newest_step
from qweft.training.checks import check_settings
from qweft.training.config import RunConfig
from qweft.training.distributed import is_first_process, processes, whole_state
from qweft.training.loop import DivergedError, Fit, fit
from qweft.training.on_device import describe
from qweft.training.record import RECORD, check_judged_alike, decides, finished, is_of
from qweft.training.run_folder import (
    BEST,
    CHECKPOINTS,
    best_since,
    curves_in,
    kept,
    remove_empty,
    remove_what_is_done,
    run_callbacks,
    written,
)
from qweft.training.starts import attach_for_training, save_on_plain_weights

WEIGHTS = "adapter_model.safetensors"


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
            return cls(output / "adapter", record["trainable_parameters"], Fit(**record["training"]), base, adapted)
        except (KeyError, TypeError) as error:
            raise QweftError(
                f"{output / RECORD} is damaged ({error}); remove that file to train anew, or give --resume no"
            ) from error


def save_adapter(
    model: Any,
    folder: Path,
    record: dict[str, Any] | None = None,
    state: dict[str, Any] | None = None,
    hub_id: str | None = None,
) -> None:
    """Save the adapter in PEFT's format, atomically.

    Args:
        model: The adapted model.
        folder: Folder to write; an existing one is replaced.
        record: The run's record, from which the model card is written; `None` keeps that of `save_pretrained`.
        state: What `whole_state` returned, if tensors are sharded over processes.
        hub_id: Hub id of the base model, which the config and the card name, so that others can load the adapter;
            `None` if it is not on the hub, and only its folder can be named.
    """
    with folder_beside(folder) as temporary:
        model.save_pretrained(temporary, **(state or {}))
        save_on_plain_weights(model, temporary)
        name_base_model(temporary, hub_id)
        if record is not None:
            shapes = {key: tuple(tensor.shape) for key, tensor in read_header(temporary / WEIGHTS).items()}
            card = run_card(record, model.active_peft_config, shapes)
            (temporary / "README.md").write_text(card, encoding="utf-8")


def weights_bytes(folder: Path) -> int | None:
    """Return the size of an adapter's safetensors file in bytes; `None` if there is no file of PEFT's name."""
    file = folder / WEIGHTS
    return file.stat().st_size if file.is_file() else None


def _is_whole(folder: Path, record: dict[str, Any]) -> bool:
    """Whether the adapter of a recorded run is there, with as many bytes as it had; earlier records may not say it."""
    found = weights_bytes(folder)
    return found is not None and record.get("adapter_bytes", found) == found


def _keep_earlier_run(config: RunConfig, output: Path, is_same: bool, console: Console) -> None:
    """Rename the output folder of an earlier run, so that no trained adapter is overwritten.

    Raises:
        QweftError: The folder holds what this run reads, or it cannot be renamed.
    """
    is_finished = (output / RECORD).is_file()
    if not is_finished and not any(os.path.lexists(output / name) for name in ("adapter", BEST)):
        return
    for place in (config.model.name, *config.data.places):
        if os.path.exists(place) and Path(place).resolve().is_relative_to(output.resolve()):
            raise QweftError(
                f"output {output} holds an earlier run, and {place}, which this run reads; choose another --output"
            )
    aside = set_aside(output)
    remove_empty(aside)
    other = "was another one, by its configuration, rows, base model or processes, and"
    console.print(
        f"the earlier run in {output} {'' if is_same else f'{other} '}is now {aside}"
        if is_finished
        else f"what {output} held of a run without a record is now {aside}",
        highlight=False,
    )


def _record(config: RunConfig, loaded: LoadedModel, weights: str, data: Data, found: TrainedRun) -> dict[str, Any]:
    """Return what `run.json` holds of a run, except the adapter's size; `weights` is the base model's checksum."""
    return {
        "config": asdict(config),
        "decides": decides(config),
        "processes": processes(),
        "model_origin": loaded.source.origin,
        "model_hub_id": loaded.source.hub_id,
        "weights": weights,
        "dtype": str(loaded.dtype),
        "data": asdict(data.report),
        "trainable_parameters": found.trainable_parameters,
        "training": asdict(found.fit),
        "base": asdict(found.base),
        "adapted": asdict(found.adapted),
    }


def _save(
    model: Any, found: TrainedRun, record: dict[str, Any], output: Path, state: dict[str, Any] | None, resumes: bool
) -> None:
    """Save the adapter, then the run's record; `resumes` says whether the run has checkpoints to go on from.

    Raises:
        QweftError: A file cannot be written.
    """
    again = "with --resume auto" if resumes else "again; with checkpoints.every it would go on from there"
    way = f"make room there, or allow writing, and run {again}"
    try:
        save_adapter(model, found.adapter_folder, record, state, record["model_hub_id"])
    except (OSError, RuntimeError, SafetensorError) as error:  # a full disk raises any of these
        raise QweftError(f"the adapter could not be written to {output} ({_first_line(error)}); {way}") from error
    try:
        write_json(output / RECORD, marked(record) | {"adapter_bytes": weights_bytes(found.adapter_folder)})
    except OSError as error:
        raise QweftError(
            f"the adapter is in {found.adapter_folder}, and its record could not be written to {output / RECORD} "
            f"({_first_line(error)}); {way}"
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0][:200]


def train(config: RunConfig) -> TrainedRun:
    """Train one adapter and save it to `config.output`/adapter, with the run's record in `config.output`/run.json.

    In several processes (accelerate launch), all of them train and the first one writes.

    Args:
        config: The run's config, which is checked before training starts.

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
            return _train(config, output)
        except DivergedError as error:
            raise DivergedError(f"{error}{best_since(output, before)}", error.curve) from error


def _train(config: RunConfig, output: Path) -> TrainedRun:
    """Train as `train` does, with a checked config and a claimed output folder."""
    is_first = is_first_process()
    console = Console(quiet=not is_first)
    earlier = finished(output / RECORD, config)
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
    before, weights = weights_of(loaded.model), checksum(loaded.model)
    same = earlier is not None and is_of(earlier, data.report.fingerprint, weights, str(loaded.dtype))
    if earlier is not None and same and config.resume == "auto" and _is_whole(output / "adapter", earlier):
        check_judged_alike(earlier, config.evaluation.split, output)
        if is_first and newest_step(output / CHECKPOINTS) is not None:  # it was killed as it removed them
            remove_what_is_done(output, config)
        console.print(f"this run is finished already ({output / RECORD})", highlight=False)
        return TrainedRun.from_record(earlier, output)
    set_seed(config.training.seed)
    model = attach_for_training(loaded.model, peft_config, data.train, loaded.tokenizer.pad_token_id, config.training)
    if config.training.measures:
        circuit_layers(model)  # raises if the adapter has no circuit
        console.print(describe(config.training), highlight=False)
    trainable, total = model.get_nb_trainable_parameters()
    console.print(f"training {trainable:,} of {total:,} parameters", highlight=False)
    callbacks = run_callbacks(config, output, loaded, data, lambda line: console.print(line, highlight=False), weights)
    rows = data.test if config.evaluation.split == "test" else data.validation
    pad, batch = loaded.tokenizer.pad_token_id, config.evaluation.batch_size
    with base_model(changed(before, model), model, config.model) as untouched:
        base = held_out_loss(untouched, rows, pad, batch)
    if is_first and callbacks.found is None:
        callbacks = replace(callbacks, begin=lambda: _keep_earlier_run(config, output, same, console))
    with curves_in(output):
        trained = fit(model, data.train, pad, callbacks.left_of(config.training), callbacks=callbacks)
    for warning in trained.warnings:
        console.print(f"warning: {warning}", highlight=False)
    adapted = held_out_loss(model, rows, pad, batch)
    found = TrainedRun(output / "adapter", trainable, trained, base, adapted)
    state = whole_state(model)
    if not is_first:
        return found
    record = _record(config, loaded, weights, data, found)
    resumes = callbacks.checkpoints is not None and not callbacks.checkpoints.is_empty
    _save(model, found, record, output, state, resumes)
    remove_what_is_done(output, config)
    seconds = trained.step_seconds_median
    beside = f", CPU taken by others: {share_said(trained.cpu_by_others)}"
    each = "" if seconds is None else f", {seconds:.2f} s each{beside}"
    console.print(
        f"{config.evaluation.split} loss {base.loss:.4f} -> {adapted.loss:.4f}, perplexity {base.perplexity:.2f} -> "
        f"{adapted.perplexity:.2f} ({trained.steps} steps{each})",
        highlight=False,
    )
    return found
