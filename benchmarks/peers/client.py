"""A peer's process, as the benchmark sees it. The protocol is described in `worker.py`."""

import contextlib
import json
import os
import select
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from benchmarks.peers.environments import environment

POOLS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
"""What the libraries below the packages read when they are loaded. XLA needs no flag: it has a thread for each core
that the worker has pinned itself to before jax is imported."""

ALLOCATOR = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**40)}
"""One heap that a process keeps. Most packages allocate gigabytes anew in each run; given back in between, the pages
cost up to as much time again as the computing, and not the same from run to run. One heap, since `memory` can have
memory given back from the first only: in the heap of a thread XLA keeps what a run needs, and the next seems free."""


class PeerError(RuntimeError):
    """A peer answered with an error, or ended."""


class PeerTimeoutError(PeerError):
    """A peer did not answer in time, and was ended."""


class Worker:
    """A peer in its own process and environment; leaving the context ends it.

    Args:
        peer: An entry of `benchmarks.peers.PEERS`.
        threads: How many cores it may use.

    Raises:
        NotInstalledError: On entering, if the peer's packages cannot be installed.
    """

    def __init__(self, peer: str, threads: int = 1) -> None:
        self.peer = peer
        self.threads = threads
        self.process: subprocess.Popen[bytes] | None = None
        self.unread = b""

    def __enter__(self) -> Self:
        python = environment(self.peer)
        self.printed = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            [str(python), "-m", "benchmarks.peers.worker", self.peer],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.printed,
            cwd=Path(__file__).parents[2],
            env={**os.environ, **ALLOCATOR, **dict.fromkeys(POOLS, str(self.threads))},
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.end()
        self.printed.close()

    def prepare(
        self,
        circuit: str,
        qubits: int,
        layers: int,
        tokens: int,
        seed: int = 0,
        dtype: str = "float32",
        timeout: float = 600,
    ) -> dict[str, Any]:
        """Draws inputs, builds and compiles; answers build_seconds."""
        shape = {"circuit": circuit, "qubits": qubits, "layers": layers, "tokens": tokens, "seed": seed, "dtype": dtype}
        return self.ask({"do": "prepare", **shape, "threads": self.threads}, timeout)

    def check(self, timeout: float = 600) -> dict[str, Any]:
        """Answers values, grad_x and grad_t as lists."""
        return self.ask({"do": "check"}, timeout)

    def time(self, timeout: float = 600) -> dict[str, Any]:
        """Answers wall and cpu seconds of one forward and backward, and tokens_run."""
        return self.ask({"do": "time"}, timeout)

    def memory(self, timeout: float = 600) -> dict[str, Any]:
        """Answers by how many bytes one forward and backward raises the peak of memory, and tokens_run."""
        return self.ask({"do": "memory"}, timeout)

    def rest(self, timeout: float = 60) -> None:
        """Gives back what freed memory the process keeps, where many peers would not fit beside each other.

        The next run pays for it, so time the one after that.
        """
        self.ask({"do": "rest"}, timeout)

    def running(self) -> tuple[subprocess.Popen[bytes], IO[bytes], IO[bytes]]:
        """The process, what it reads and what it answers to.

        Raises:
            PeerError: If it has ended.
        """
        process = self.process
        if process is None or process.stdin is None or process.stdout is None:
            raise PeerError(f"{self.peer} is not running")
        return process, process.stdin, process.stdout

    def ask(self, command: dict[str, Any], timeout: float) -> dict[str, Any]:
        _, into, _ = self.running()
        try:
            into.write(json.dumps(command).encode() + b"\n")
            into.flush()
        except BrokenPipeError:
            raise PeerError(self.last_words()) from None
        answer = json.loads(self.line(command["do"], timeout))
        if "error" in answer:
            raise PeerError(f"{self.peer}: {answer['error']}")
        return answer

    def line(self, do: str, timeout: float) -> bytes:
        """The next line of the peer, however large and in however many pieces it comes."""
        out = self.running()[2].fileno()
        end = time.monotonic() + timeout
        while b"\n" not in self.unread:
            if not select.select([out], [], [], max(0, end - time.monotonic()))[0]:
                self.end()
                raise PeerTimeoutError(f"{self.peer}: {do} took longer than {timeout:g} s")
            piece = os.read(out, 1 << 20)
            if not piece:
                raise PeerError(self.last_words())
            self.unread += piece
        line, self.unread = self.unread.split(b"\n", 1)
        return line

    def last_words(self) -> str:
        """Why the process ended: its status and the end of what it printed."""
        status = self.running()[0].wait()
        self.end()
        self.printed.seek(0)
        printed = self.printed.read().decode(errors="replace").strip().splitlines()[-1:]
        if status == -signal.SIGKILL:
            return f"{self.peer} ran out of memory"
        return f"{self.peer} ended with status {status}" + "".join(f": {line}" for line in printed)

    def end(self) -> None:
        """Ends the process at once: it holds nothing that would have to be saved."""
        if self.process is None:
            return
        process, into, out = self.running()
        process.kill()
        process.wait()
        with contextlib.suppress(BrokenPipeError):  # a command that it did not read
            into.close()
        out.close()
        self.process = None
