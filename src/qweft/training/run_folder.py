"""The output folder of a run: checkpoints, best adapter, curves, and resuming from them."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from qweft.claims import CLAIM
from qweft.data.load import Data
from qweft.errors import QweftError
from qweft.files import leftovers, named_path, remove, stamp
from qweft.method.saved import CONFIG, WEIGHTS
from qweft.models.load import LoadedModel
from qweft.records import read_record
from qweft.training.callbacks import RunCallbacks, Validation
from qweft.training.checkpoints import STAGING, Checkpoints, newest_step, remove_all
from qweft.training.config import RunConfig
from qweft.training.distributed import processes
from qweft.training.record import RECORD, decides, finished, is_judged

CHECKPOINTS, BEST, CURVES = "checkpoints", "best", "logs"
CARD = "README.md"
LAST = f"adapter/{WEIGHTS}"


def run_callbacks(
    config: RunConfig, output: Path, loaded: LoadedModel, data: Data, tell: Callable[[str], None], weights: str
) -> RunCallbacks:
    """Set up a run's checkpoints, validation and reporting, and find the checkpoint to resume from.

    Args:
        config: The run's config.
        output: Output folder of the run.
        loaded: The base model.
        data: The run's data.
        tell: Receives lines for the terminal.
        weights: Checksum of the base model's weights.

    Raises:
        QweftError: If the folder holds checkpoints of another run, or of an unfinished run that is not to be resumed.
    """
    validation = None
    if config.validation.every is not None:
        validation = Validation(
            config.validation.every, config.validation.patience, data.validation, loaded.tokenizer.pad_token_id,
            config.evaluation.batch_size, output / BEST,
        )  # fmt: skip
    identity = decides(config) | {
        "rows": data.report.fingerprint, "model_origin": loaded.source.origin, "dtype": str(loaded.dtype),
        "weights": weights,
        "processes": processes(),  # by which a batch has other rows, and the passes are so many steps
    }  # fmt: skip
    own: dict[str, Any] = {} if validation is None else {"add": validation.keep_best}
    extra = {} if validation is None else {"validation": validation.state}
    checkpoints = Checkpoints(output / CHECKPOINTS, identity, config.checkpoints.newest, extra, tell, **own)
    is_done = (output / RECORD).is_file()  # it was killed as it removed its checkpoints, and is renamed with them
    try:
        found = checkpoints.find() if config.resume == "auto" else None
    except QweftError:  # they are of another run
        if not is_done:
            raise
        found = None
    if found is not None:
        tell(f"going on from step {found.step} ({found.folder})")
    elif config.resume == "no" and not checkpoints.is_empty and not is_done:
        raise QweftError(
            f"{output} holds checkpoints of a run that was not finished; go on with --resume auto, choose another "
            f"--output, or remove {output / CHECKPOINTS} to begin anew"
        )
    keeps = config.checkpoints.every is not None or found is not None
    if keeps:
        checkpoints.clear_staging()  # a file or a link may stand there
    made = RunCallbacks(checkpoints if keeps else None, config.checkpoints.every, found, validation, config.report_to)
    if found is None or validation is None:
        return made
    return replace(made, begin=partial(validation.put_best_back, found.folder))


def is_begun(output: Path) -> bool:
    """Whether a folder holds what a run that was not resumed left: a record, an adapter or a best adapter."""
    return (output / RECORD).is_file() or any(os.path.lexists(output / name) for name in ("adapter", BEST))


def check_may_be_renamed(output: Path, config: RunConfig, reads: Sequence[str]) -> None:
    """Check that an earlier run's folder, which is renamed with all that is in it, holds nothing else that is needed.

    Args:
        output: Output folder of the run.
        config: The run's config.
        reads: Files that the command reads beside what the config names.

    Raises:
        QweftError: It holds what this run reads, runs of another command, or something that has an adapter's name.
    """
    if not is_begun(output):
        return
    kept = [each for each in (output / "adapter", output / BEST, output / RECORD) if os.path.lexists(each)]
    adapters = [each for each in kept if any((each / name).is_file() for name in (CONFIG, WEIGHTS))]
    if not _is_record(output / RECORD) and (not adapters or {*kept} - {*adapters, output / RECORD}):
        strange = next(each for each in kept if each not in adapters)
        raise QweftError(f"{strange} is there, and no run wrote it; choose another --output, or remove it")
    named = (config.model.name, *config.data.places, config.data.file, config.training.noise, *reads)
    for place in filter(None, named):
        path = named_path(place)
        if path.exists() and any(p.is_relative_to(output.resolve()) for p in (path.resolve(), path.absolute())):
            raise QweftError(
                f"output {output} holds an earlier run, and {place}, which this run reads; choose another --output"
            )
    own = {"adapter", BEST, CHECKPOINTS, CURVES}
    records = chain(output.glob(f"*/{RECORD}"), output.glob(f"*/*/{RECORD}"))
    other = next((path for path in records if path.relative_to(output).parts[0] not in own), None)
    if other is not None:
        raise QweftError(
            f"output {output} holds an earlier run, and {other.parent}, another run; choose another --output"
        )


def _is_record(path: Path) -> bool:
    with suppress(QweftError, OSError):
        return isinstance(read_record(path, "").get("config"), dict)
    return False


def written(output: Path) -> dict[str, tuple[int, int] | None]:
    """Return the stamps of what a run writes when it ends, and of its best adapter."""
    return {name: stamp(output / name) for name in (RECORD, LAST, f"{BEST}/{WEIGHTS}")}


def is_new(name: str, output: Path, before: Mapping[str, tuple[int, int] | None]) -> bool:
    """Whether a file is there, and was written since `written` returned its stamp."""
    return stamp(output / name) not in (None, before[name])


def best_since(output: Path, before: Mapping[str, tuple[int, int] | None]) -> str:
    """Return a clause on the best adapter so far; empty if none was written since `written` returned `before`."""
    if not is_new(f"{BEST}/{WEIGHTS}", output, before):
        return ""
    return f"; the best adapter so far is in {output / BEST}"


def kept(output: Path, config: RunConfig, before: Mapping[str, tuple[int, int] | None]) -> str:
    """Return what a stopped run leaves, and how to go on.

    Args:
        output: Output folder of the run.
        config: The run's config.
        before: What `written` returned as the command began; what has not changed is of an earlier run.
    """
    is_newly, saved = is_new(RECORD, output, before), finished(output / RECORD, config)
    if saved and not is_judged(saved) and (is_newly or config.resume == "auto"):
        return f"the adapter is trained, and in {output / 'adapter'}; the same command with --resume auto judges it"
    if is_newly and saved:
        return f"the run is finished, and its adapter is in {output / 'adapter'}"
    step = newest_step(output / CHECKPOINTS)
    going_on = f"the checkpoint of step {step} is kept; go on with the same command and --resume auto"
    if is_new(LAST, output, before):
        way = "the same command trains it anew" if step is None else going_on
        return f"the adapter is in {output / 'adapter'}, and its record is not; {way}"
    if step is not None:
        return going_on
    said = "nothing was kept; with --checkpoints.every N a stopped run goes on from its last checkpoint"
    if config.checkpoints.every is not None:
        first = config.checkpoints.every
        said = f"nothing was kept before the first checkpoint (step {first}); the same command begins anew"
    if best := best_since(output, before):
        said = f"{said.replace('nothing', 'no checkpoint')}{best}"
    return said


@contextmanager
def curves_in(output: Path) -> Iterator[None]:
    """Direct TensorBoard's files to the output folder inside a `with` block, unless the user set another folder."""
    name = "TENSORBOARD_LOGGING_DIR"
    if name in os.environ:
        yield
        return
    os.environ[name] = str(output / CURVES)
    try:
        yield
    finally:
        del os.environ[name]


def remove_what_is_done(output: Path, config: RunConfig) -> None:
    """Remove what a finished run made and needs no more, and nothing else: its output may be a project's folder.

    The checkpoints go last: where they are left, this was not done to its end.
    """
    best = [output / BEST] if config.validation.every is not None else []
    names = ("adapter", BEST, RECORD, f"{CLAIM}.json")  # an export may be writing beside them
    for path in (*best, *leftovers(output, names), *leftovers(output / "adapter", (CARD,))):
        remove(path)
    remove_all(output / CHECKPOINTS)


def remove_empty(output: Path) -> None:
    """Remove the folder of checkpoints if a stopped run left it empty."""
    for path in (output / CHECKPOINTS / STAGING, output / CHECKPOINTS):
        with suppress(OSError):  # it holds something, or is not there
            path.rmdir()
