"""The output folder of a run: checkpoints, best adapter, curves, and resuming from them."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from peft.utils import SAFETENSORS_WEIGHTS_NAME

from qweft.data.load import Data
from qweft.errors import QweftError
from qweft.files import leftovers, remove
from qweft.models.load import LoadedModel
from qweft.training.callbacks import RunCallbacks, Validation
from qweft.training.checkpoints import STAGING, Checkpoints, newest_step, remove_all
from qweft.training.config import RunConfig
from qweft.training.distributed import processes
from qweft.training.record import RECORD, decides, finished

CHECKPOINTS, BEST, CURVES = "checkpoints", "best", "logs"


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
    found = checkpoints.find() if config.resume == "auto" else None
    if found is not None:
        tell(f"going on from step {found.step} ({found.folder})")
    elif config.resume == "no" and not checkpoints.is_empty:
        raise QweftError(
            f"{output} holds checkpoints of a run that was not finished; go on with --resume auto, choose another "
            f"--output, or remove {output / CHECKPOINTS} to begin anew"
        )
    keeps = config.checkpoints.every is not None or found is not None
    if keeps:
        checkpoints.clear_staging()  # a file or a link may stand there
    return RunCallbacks(checkpoints if keeps else None, config.checkpoints.every, found, validation, config.report_to)


def kept(output: Path, config: RunConfig, begun: float) -> str:
    """Return what a stopped run leaves, and how to go on.

    Args:
        output: Output folder of the run.
        config: The run's config.
        begun: When the command began, in seconds since the epoch; older files are of an earlier run.
    """
    if finished(output / "run.json", config) and (output / "run.json").stat().st_mtime >= begun:
        return f"the run is finished, and its adapter is in {output / 'adapter'}"
    weights = output / "adapter" / SAFETENSORS_WEIGHTS_NAME
    if weights.is_file() and weights.stat().st_mtime >= begun:
        return f"the adapter is in {output / 'adapter'}, and its record is not; the same command trains it anew"
    step = newest_step(output / CHECKPOINTS)
    if step is not None:
        return f"the checkpoint of step {step} is kept; go on with the same command and --resume auto"
    said = "nothing was kept; with --checkpoints.every N a stopped run goes on from its last checkpoint"
    if config.checkpoints.every is not None:
        first = config.checkpoints.every
        said = f"nothing was kept before the first checkpoint (step {first}); the same command begins anew"
    if (output / BEST).is_dir() and (output / BEST).stat().st_mtime >= begun:
        said = f"{said.replace('nothing', 'no checkpoint')}; the best adapter so far is in {output / BEST}"
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
    """Remove what a finished run made and needs no more, and nothing else: its output may be a project's folder."""
    remove_all(output / CHECKPOINTS)
    best = [output / BEST] if config.validation.every is not None else []
    for path in (*best, *leftovers(output, ("adapter", BEST, RECORD))):  # an export may be writing beside them
        remove(path)


def remove_empty(output: Path) -> None:
    """Remove the folder of checkpoints if a stopped run left it empty."""
    for path in (output / CHECKPOINTS / STAGING, output / CHECKPOINTS):
        with suppress(OSError):  # it holds something, or is not there
            path.rmdir()
