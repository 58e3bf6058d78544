"""Worker processes on this machine. The module leaves PyTorch out, so that it can set the number of threads first."""

import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from qweft.claims import earlier_in, free_name
from qweft.current_folder import module_command
from qweft.errors import QweftError
from qweft.output import Console

BEGINS = b"A worker process of Qweft.\n"
"""First line of a worker's log."""


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
    started: list[subprocess.Popen[bytes]] = []
    with ExitStack() as files:

        def begin() -> None:
            for number in range(2, workers + 1):
                log = files.enter_context(_begun_log(output / f"worker-{number}.log"))
                command = module_command("qweft.cli.main", *words, "--workers", "1")
                started.append(
                    subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
                )

        try:
            yield begin
            ended = [process.wait() for process in started]
        except BaseException:
            for process in started:
                process.terminate()
            for process in started:
                process.wait()
            raise
        for number, status in enumerate(ended, 2):
            if status:
                told = output / f"worker-{number}.log"
                Console(stderr=True).print(
                    f"worker {number} ended with status {status}, and the others did its work; {told} has what it said",
                    highlight=False,
                )


def _begun_log(path: Path) -> IO[bytes]:
    """Return a log that is begun anew: a link of that name would be written through, and a pipe waited for."""
    try:
        if path.is_file() and not path.is_symlink():
            with path.open("rb") as file:
                is_ours = file.read(len(BEGINS)) == BEGINS
            if not is_ours:
                path.rename(free_name(earlier_in(path.parent) / path.name))
        path.unlink(missing_ok=True)
        log = path.open("xb")
        log.write(BEGINS)
        log.flush()
        return log
    except OSError as error:
        raise QweftError(
            f"{path} cannot be written ({error.strerror}); remove it, or choose another --output"
        ) from error
