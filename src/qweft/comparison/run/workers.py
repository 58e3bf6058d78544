"""Processes of one machine that share the work in an output folder. It leaves out PyTorch, whose threads it sets."""

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from qweft.core.claims import claimed_output
from qweft.core.errors import saying_when_stopped
from qweft.core.files import locked
from qweft.core.output import Console

T = TypeVar("T")
R = TypeVar("R")

LOCK = ".lock"
SECONDS_BETWEEN_LOOKS = 2.0
"""Polling interval, in seconds, while another process works on a task."""


@contextmanager
def shared_output(command: str, config: Any) -> Iterator[None]:
    """Hold the output folder of `config` for this command, with the processes that were given the same config."""
    work = asdict(config)
    for name in ("workers", "executor", "output"):
        del work[name]
    del work["model"]["device"]
    key = hashlib.sha256(json.dumps([command, work], sort_keys=True, default=str).encode()).hexdigest()
    kept = f"finished runs are kept in {config.output}; the same command goes on"
    with claimed_output(Path(config.output), command, key), saying_when_stopped(lambda: kept):
        yield


@contextmanager
def claimed(folder: Path) -> Iterator[bool]:
    """Whether this process has the folder to itself until the block ends."""
    with suppress(FileExistsError, NotADirectoryError):  # a file here or above, in which no lock can be
        folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / LOCK) as held:
        yield held


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Wait until this process has the folder to itself: for work that one does and the rest reads."""
    while True:
        with claimed(folder) as is_own:
            if is_own:
                yield
                return
        sleep()


def sleep() -> None:
    """Sleep for one polling interval."""
    time.sleep(SECONDS_BETWEEN_LOOKS)


def trials(
    propose: Callable[[], Sequence[T]], evaluate: Callable[[T], R | None], wait: Callable[[], None]
) -> Iterator[tuple[T, R]]:
    """Yield proposed trials with results as they end; `evaluate` returns `None` while another process makes one."""
    while proposed := propose():
        for trial in proposed:
            result = evaluate(trial)
            if result is not None:
                yield trial, result
                break
        else:
            wait()


@contextmanager
def local_workers(
    words: Sequence[str], executor: str, workers: int | None, output: Path
) -> Iterator[Callable[[], None]]:
    """Yield a function that starts `workers - 1` further processes with the same command; they end with the block."""
    if executor != "local" or workers is None or workers == 1:
        yield lambda: None
        return
    share = str(max(1, (os.cpu_count() or 1) // workers))
    for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ.setdefault(name, share)
    started: dict[Path, subprocess.Popen[bytes]] = {}

    def begin() -> None:
        command = [sys.executable, "-P", "-m", "qweft", *words, "--workers", "1"]
        for number in range(2, workers + 1):
            path, null = output / f"worker-{number}.log", subprocess.DEVNULL
            with path.open("wb") as log:
                started[path] = subprocess.Popen(command, stdin=null, stdout=log, stderr=subprocess.STDOUT)

    try:
        yield begin
        for path, process in started.items():
            if status := process.wait():
                text = f"a worker ended with status {status}; the rest did its work. Its log: {path}"
                Console(stderr=True).say(text)
    finally:
        for process in started.values():
            process.terminate()
        for process in started.values():
            process.wait()
