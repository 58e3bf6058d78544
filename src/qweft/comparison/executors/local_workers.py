"""Worker processes on this machine. The module leaves PyTorch out, so that it can set the number of threads first."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from qweft.errors import QweftError
from qweft.output import Console


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
                path = output / f"worker-{number}.log"
                try:
                    path.unlink(missing_ok=True)  # a link would be written through, and a pipe waited for
                    log = files.enter_context(path.open("xb"))
                except OSError as error:
                    raise QweftError(f"{path} cannot be written ({error.strerror}); choose another --output") from error
                command = [sys.executable, "-P", "-m", "qweft", *words, "--workers", "1"]
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
                    f"worker {number} ended with status {status}; the rest did its work. Its log: {told}",
                    highlight=False,
                )
