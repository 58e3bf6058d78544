"""The circuit alone, forward and backward, against other packages: every one in its own process, alternating."""

import contextlib
import statistics
from collections.abc import Iterable
from typing import Any

from benchmarks.peers import PEERS
from benchmarks.peers.client import PeerError, Worker
from benchmarks.peers.environments import NotInstalledError
from benchmarks.peers.verify import verify
from benchmarks.rounds import spread

OURS = "qweft"
SECONDS_A_RUN = 60
"""A package that needs longer for one forward and backward is left out at that size, and said to be."""

FEW_TOKENS = 512
CROWDED_QUBITS = 10
"""From so many on the packages' memory does not fit beside each other, and is given back between runs."""


def shape_name(qubits: int, layers: int, tokens: int) -> str:
    """The key of a shape in the results."""
    return f"n{qubits}_L{layers}_T{tokens}"


def compare(
    peers: Iterable[str], shapes: Iterable[tuple[int, int, int]], rounds: int, threads: int = 2
) -> dict[str, Any]:
    """Seconds and peak memory of every package at every shape (qubits, layers, tokens), re-upload, float32.

    Every package first proves that it computes the same values and gradients. One that cannot be installed, deviates or
    takes too long is named with the reason.
    """
    found: dict[str, Any] = {"threads": threads, "left_out": {}, "deviation": {}, "shapes": {}}
    with contextlib.ExitStack() as stack:
        workers: dict[str, Worker] = {}
        for peer in peers:
            worker = Worker(peer, threads)
            try:
                stack.enter_context(worker)
                if peer != OURS:
                    found["deviation"][peer] = verify(worker)
            except (NotInstalledError, PeerError) as error:
                found["left_out"][peer] = str(error)
            else:
                workers[peer] = worker
        for qubits, layers, tokens in shapes:
            name = shape_name(qubits, layers, tokens)
            found["shapes"][name] = _one_shape(workers, (qubits, layers, tokens), rounds, found["left_out"])
            summary = found["shapes"][name]["speedup"]
            print(f"  {name:14} " + "  ".join(f"{peer} {ratio:.1f}x" for peer, ratio in summary.items()), flush=True)
    return found


def _one_shape(
    workers: dict[str, Worker], shape: tuple[int, int, int], rounds: int, left_out: dict[str, str]
) -> dict[str, Any]:
    """One shape: medians over rounds in which each package runs once; then each one's peak of memory."""
    qubits, layers, tokens = shape
    seconds: dict[str, list[float]] = {}
    for peer, worker in list(workers.items()):
        try:
            worker.prepare(qubits, layers, tokens, timeout=4 * SECONDS_A_RUN)
            seconds[peer] = []
            if worker.time(timeout=SECONDS_A_RUN)["wall"] > SECONDS_A_RUN:
                raise PeerError(f"more than {SECONDS_A_RUN} s")
            if qubits >= CROWDED_QUBITS:
                worker.rest()
        except PeerError as error:
            seconds.pop(peer, None)
            left_out[f"{peer} at {shape_name(*shape)}"] = str(error)
            if worker.process is None:  # it was ended: start it again for the next shape
                worker.__enter__()
    crowded = qubits >= CROWDED_QUBITS
    for _ in range(min(rounds, 3) if crowded else rounds):
        for peer in seconds:
            seconds[peer].append(_turn(workers[peer]))
            if crowded:
                workers[peer].rest()
    memory = {}
    for peer in seconds:
        memory[peer] = workers[peer].memory()["bytes"]
        workers[peer].rest()
    typical = {peer: statistics.median(each) for peer, each in seconds.items()}
    ours = typical.pop(OURS)
    return {
        "seconds": {OURS: ours, **typical},
        "spread": {peer: spread(each) for peer, each in seconds.items()},
        "memory_bytes": memory,
        "speedup": {peer: typical[peer] / ours for peer in sorted(typical, key=typical.__getitem__)},
    }


def _turn(worker: Worker) -> float:
    """Median of a few runs in a row after a first one, which meets the caches that the package before it has left."""
    worker.time()
    runs: list[float] = []
    while len(runs) < 15 and sum(runs) < 0.1:
        runs.append(worker.time()["wall"])
    return statistics.median(runs)


def summary_of(found: dict[str, Any], targets: dict[int, int]) -> dict[str, Any]:
    """Against the fastest other package at L = n, which the targets are about; `targets`: tokens for each n."""
    result = {}
    for n, tokens in targets.items():
        one = found["shapes"][shape_name(n, n, tokens)]
        fastest = next(iter(one["speedup"]))
        result[f"n{n}"] = {
            "speedup_vs_fastest": one["speedup"][fastest],
            "spread": one["spread"][OURS] + one["spread"][fastest],
            "fastest": fastest,
            "memory_ratio": one["memory_bytes"][OURS] / max(1, one["memory_bytes"][fastest]),
            "tokens": tokens,
            "milliseconds": 1e3 * one["seconds"][OURS],
        }
        if tokens != FEW_TOKENS:
            few = found["shapes"][shape_name(n, n, FEW_TOKENS)]
            fastest, faster = next(iter(few["speedup"].items()))
            result[f"n{n}"][f"speedup_at_{FEW_TOKENS}_tokens"] = faster
            result[f"n{n}"][f"spread_at_{FEW_TOKENS}_tokens"] = few["spread"][OURS] + few["spread"][fastest]
    return result


def all_peers() -> tuple[str, ...]:
    """Every package there is a worker for."""
    return PEERS
