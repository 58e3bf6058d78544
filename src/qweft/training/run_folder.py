"""The output folder of a run: what it holds while it trains, and how a run resumes from it."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from qweft.data.load import Data
from qweft.errors import QweftError
from qweft.models.load import LoadedModel
from qweft.training.callbacks import RunCallbacks, Validation
from qweft.training.checkpoints import Checkpoints
from qweft.training.config import RunConfig

CHECKPOINTS, BEST, CURVES = "checkpoints", "best", "logs"


def decides(config: RunConfig) -> dict[str, Any]:
    """All of a config that decides what comes out: two runs that agree in it give the same adapter."""
    return {
        "model": {key: value for key, value in asdict(config.model).items() if key != "device"},
        "data": config.data.decides(),
        "adapter": config.adapter,
        "training": config.training.decides(),
        "validation": asdict(config.validation),
    }


def kept_beside(
    config: RunConfig, output: Path, loaded: LoadedModel, data: Data, tell: Callable[[str], None]
) -> RunCallbacks:
    """What the run does beside its steps, as its config says, and where it goes on.

    Raises:
        QweftError: If the folder holds checkpoints that are of another run, or that nobody said to go on from.
    """
    validation = None
    if config.validation.every is not None:
        validation = Validation(
            config.validation.every, config.validation.patience, data.validation, loaded.tokenizer.pad_token_id,
            config.evaluation.batch_size, output / BEST,
        )  # fmt: skip
    identity = decides(config) | {
        "rows": data.report.fingerprint, "model_origin": loaded.source.origin, "dtype": str(loaded.dtype),
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
    return RunCallbacks(checkpoints if keeps else None, config.checkpoints.every, found, validation, config.report_to)


def finished(record: Path, config: RunConfig) -> dict[str, Any] | None:
    """The record of the run, if this very run is finished already."""
    try:
        saved: dict[str, Any] = json.loads(record.read_text("utf-8"))
        is_same = saved["decides"] == json.loads(json.dumps(decides(config)))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return saved if is_same else None


@contextmanager
def curves_in(output: Path) -> Iterator[None]:
    """Inside, TensorBoard's files go to the output folder, unless the user has said where they go."""
    name = "TENSORBOARD_LOGGING_DIR"
    if name in os.environ:
        yield
        return
    os.environ[name] = str(output / CURVES)
    try:
        yield
    finally:
        del os.environ[name]


def remove_what_is_done(output: Path) -> None:
    """Of a finished run the adapter is left: checkpoints, the best so far, and what a killed process left."""
    for path in (output / CHECKPOINTS, output / BEST, *output.glob(".*.tmp")):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
