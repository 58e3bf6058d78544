"""Runs made on this machine: in this process, one after the other, or in several worker processes."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

from qweft.comparison import claims
from qweft.comparison.context import Context
from qweft.comparison.methods import Method
from qweft.comparison.results import Run
from qweft.comparison.trial import trial_here
from qweft.files import check_writable


class Local:
    """The process itself; others with the same output make what it is not at (`claims`)."""

    def run(self, context: Context, method: Method | None, seed: int, folder: Path, keep_adapter: bool) -> Run | None:
        """Make the run here, or read it; `None` while another process makes it."""
        return trial_here(context, method, seed, folder, keep_adapter)

    def call(self, context: Context, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call the function here."""
        return function(context, *arguments)

    def wait(self) -> None:
        """Wait for other processes."""
        claims.sleep()

    def close(self) -> None:
        """Nothing is held."""


@contextmanager
def local_workers(words: Sequence[str], executor: str, workers: int | None, output: Path) -> Iterator[None]:
    """While the block runs, so many less one more processes of this machine work on the same command.

    To be entered before anything imports PyTorch: the machine's cores are shared out, and each process, this one too,
    reads its number of threads once.

    Args:
        words: The command's, without "qweft".
        executor: Other executors than local have their workers elsewhere.
        workers: Processes in all; `None` means one.
        output: The command's folder, which takes what the others say: worker-2.log and so on.
    """
    if executor != "local" or workers is None or workers == 1:
        yield
        return
    check_writable(output)
    share = str(max(1, (os.cpu_count() or 1) // workers))
    for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ.setdefault(name, share)
    started: list[subprocess.Popen[bytes]] = []
    with ExitStack() as files:
        for number in range(2, workers + 1):
            log = files.enter_context((output / f"worker-{number}.log").open("wb"))
            command = [sys.executable, "-m", "qweft", *words, "--workers", "1"]
            started.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT))
        try:
            yield
        except BaseException:
            for process in started:
                process.terminate()
            raise
        finally:
            ended = [process.wait() for process in started]
        for number, status in enumerate(ended, 2):
            if status:
                told = output / f"worker-{number}.log"
                Console(stderr=True).print(
                    f"worker {number} ended with status {status}, and the others did its work; {told} has what it said",
                    highlight=False,
                    markup=False,
                )
