"""The output folder of a run: checkpoints, best adapter, curves, and resuming from them."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from qweft.data.load import Data
from qweft.errors import QweftError
from qweft.files import leftovers, remove, stamp
from qweft.method.saved import WEIGHTS
from qweft.models.load import LoadedModel
from qweft.training.callbacks import RunCallbacks, Validation
from qweft.training.checkpoints import STAGING, Checkpoints, newest_step, remove_all
from qweft.training.config import RunConfig
from qweft.training.distributed import processes
from qweft.training.record import RECORD, decides, finished

CHECKPOINTS, BEST, CURVES = "checkpoints", "best", "logs"
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
    checkpoints = Checkpoints(
        output / CHECKPOINTS, identity, config.checkpoints.newest,
        lambda: {} if validation is None else {"validation": validation.state()}, tell,
    )  # fmt: skip
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
    return RunCallbacks(checkpoints if keeps else None, config.checkpoints.every, found, validation, config.report_to)


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
    if is_new(RECORD, output, before) and finished(output / RECORD, config):
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
    for path in (*best, *leftovers(output, ("adapter", BEST, RECORD))):  # an export may be writing beside them
        remove(path)
    remove_all(output / CHECKPOINTS)


def remove_empty(output: Path) -> None:
    """Remove the folder of checkpoints if a stopped run left it empty."""
    for path in (output / CHECKPOINTS / STAGING, output / CHECKPOINTS):
        with suppress(OSError):  # it holds something, or is not there
            path.rmdir()
