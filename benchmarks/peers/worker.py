"""The process that runs one peer: `python -m benchmarks.peers.worker PEER`, a JSON object a line in, one a line out.

Commands, by their "do":

    prepare   circuit, qubits, layers, tokens, seed, dtype, threads: draws the inputs, builds the circuit and runs it
              twice, so that what follows meets compiled code. Answers {"build_seconds": ...}
    check     answers {"values": ..., "grad_x": ..., "grad_t": ...} as lists
    time      one forward and backward. Answers {"wall": seconds, "cpu": seconds of the process, "tokens_run": ...}
    memory    one forward and backward. Answers {"bytes": rise of the peak of resident memory, "tokens_run": ...}
    rest      gives back the freed memory that the process keeps. Answers {}
    stop      ends the process

A command that fails answers {"error": ...} and the process goes on. "tokens_run" is below the tokens asked for where a
package takes tokens one by one: the seconds are then scaled to all tokens, the bytes are not (`TIMED_TOKENS`).
"""

import ctypes
import gc
import importlib
import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from benchmarks.peers import types_of
from benchmarks.peers.rows import angles_of

MOST_BYTES = 18 * 2**30
"""Address space of a worker."""
CORES = sorted(os.sched_getaffinity(0))
"""What the process may use, before it pins itself."""


def inputs(count: int, qubits: int, tokens: int, seed: int, dtype: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x, t and w, the same numbers in every worker: drawn in float64, in this order, then cast."""
    draw = np.random.default_rng(seed)
    x = draw.uniform(-np.pi, np.pi, (tokens, qubits))
    t = draw.uniform(-np.pi, np.pi, count)
    w = draw.normal(size=(tokens, qubits))
    return x.astype(dtype), t.astype(dtype), w.astype(dtype)


def pin(threads: int) -> None:
    """Holds every thread of the process to the same few cores, the one limit that all packages obey.

    A thread that starts later inherits it, and pools are sized by it, so this comes before the package is imported.
    """
    if threads > len(CORES):
        raise ValueError(f"{threads} threads asked for, and this machine lets the process use {len(CORES)} cores")
    for task in os.listdir("/proc/self/task"):
        os.sched_setaffinity(int(task), CORES[-threads:])


def resident_bytes(field: str) -> int:
    """VmRSS (now) or VmHWM (the peak since the last reset) of this process."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status has no {field}")


def give_back() -> None:
    """Gives freed memory back to the system."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)


class Worker:
    """The state of one process: the peer's module, and what the last `prepare` built."""

    def __init__(self, peer: str) -> None:
        self.peer = peer
        self.tokens = self.tokens_run = 0
        self.run: Any = None
        self.run_timed: Any = None

    def prepare(
        self, circuit: str, qubits: int, layers: int, tokens: int, seed: int, dtype: str, threads: int
    ) -> dict[str, Any]:
        self.run = self.run_timed = None
        gc.unfreeze()
        pin(threads)
        if dtype not in types_of(self.peer):
            raise ValueError(f"{self.peer} computes in {' and '.join(types_of(self.peer))}, not in {dtype}")
        module = importlib.import_module(f"benchmarks.peers.{self.peer}")
        if "torch" in sys.modules:
            sys.modules["torch"].set_num_threads(threads)
        per_layer, at_end = angles_of(circuit, qubits, layers)
        x, t, w = inputs(layers * per_layer + at_end, qubits, tokens, seed, dtype)
        self.tokens, self.tokens_run = tokens, min(tokens, getattr(module, "TIMED_TOKENS", tokens))
        begin = time.perf_counter()
        few = slice(self.tokens_run)
        self.run_timed = module.build(circuit, qubits, layers, x[few], t, w[few])
        self.run = self.run_timed if self.tokens_run == tokens else module.build(circuit, qubits, layers, x, t, w)
        for _ in range(2):
            self.run_timed()
        build_seconds = time.perf_counter() - begin
        gc.collect()
        gc.freeze()  # what was imported and built is no garbage: a collection that falls into a run need not look at it
        return {"build_seconds": build_seconds}

    def check(self) -> dict[str, Any]:
        return {
            key: np.asarray(result).tolist()
            for key, result in zip(("values", "grad_x", "grad_t"), self.run(), strict=True)
        }

    def time(self) -> dict[str, Any]:
        cpu, wall = time.process_time(), time.perf_counter()
        self.run_timed()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        scale = self.tokens / self.tokens_run
        return {"wall": wall * scale, "cpu": cpu * scale, "tokens_run": self.tokens_run}

    def memory(self) -> dict[str, Any]:
        give_back()  # a run that reuses freed pages would seem to need none
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew from here
        before = resident_bytes("VmRSS")
        result = self.run_timed()
        peak = resident_bytes("VmHWM")
        del result
        return {"bytes": max(0, peak - before), "tokens_run": self.tokens_run}

    def rest(self) -> dict[str, Any]:
        give_back()
        return {}

    def answer(self, command: dict[str, Any]) -> dict[str, Any]:
        do = command.pop("do", None)
        if do not in ("prepare", "check", "time", "memory", "rest"):
            raise ValueError(f"no command {do!r}")
        if do in ("check", "time", "memory") and self.run is None:
            raise ValueError(f"{do} needs a prepare that succeeded before it")
        return getattr(self, do)(**command)


def private_stdout() -> TextIO:
    """The answers' own line out; whatever a package prints goes to stderr instead."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    return answers


def main() -> None:
    answers = private_stdout()
    resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))  # an error here, not the machine's own end of it
    worker = Worker(sys.argv[1])
    for line in sys.stdin:
        try:
            command = json.loads(line)
            if command.get("do") == "stop":
                break
            result = worker.answer(command)
        except Exception as error:
            result = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(result), file=answers)


if __name__ == "__main__":
    main()
