"""The circuit alone, forward and backward, against other packages: every one in its own process, alternating."""

import contextlib
import json
import statistics
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.peers import PEERS
from benchmarks.peers.client import PeerError, Worker
from benchmarks.peers.environments import NotInstalledError, environment, version_of
from benchmarks.peers.verify import verify
from benchmarks.rounds import spread

from qweft.core.files import write_json

PART = Path(__file__).parent / "results" / "circuit-part.json"
OURS, PLAIN = "qweft", "gate_by_gate"
"""This project's engine, and its plain simulation in PyTorch, which is no other package."""
SECONDS_A_RUN = 20
"""A package that needs longer for one forward and backward is left out at that size, and said to be."""
FINALISTS = 6
"""Packages that are timed at large shapes: the fastest with 8 qubits and few tokens."""
SLOW = 1.0
"""Seconds of a run from which on a package runs once a round, in three rounds."""

FEW_TOKENS = 512
CROWDED_QUBITS = 10
"""From so many on the packages' memory does not fit beside each other, and is given back between runs."""


Shape = tuple[str, int, int, int]
"""Circuit, qubits, layers, tokens."""


def shape_name(circuit: str, qubits: int, layers: int, tokens: int) -> str:
    """The key of a shape in the results."""
    return f"{'' if circuit == 'recorded' else 'he_'}n{qubits}_L{layers}_T{tokens}"


def compare(peers: Iterable[str], shapes: Iterable[Shape], rounds: int, threads: int = 2) -> dict[str, Any]:
    """Seconds and peak memory of every package at every shape, float32.

    Every package first proves that it computes the same values and gradients. One that cannot be installed, deviates or
    takes too long is named with the reason.
    """
    found: dict[str, Any] = {"threads": threads, "left_out": {}, "deviation": {}, "versions": {}, "shapes": {}}
    if PART.exists():  # of a run that was stopped
        found = json.loads(PART.read_text())
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
                found["versions"][peer] = version_of(peer, environment(peer))
        for shape in shapes:
            name = shape_name(*shape)
            if name in found["shapes"]:
                continue
            able = {peer: worker for peer, worker in workers.items() if not _is_left_out(found, shape, peer)}
            found["shapes"][name] = _one_shape(able, shape, rounds, found["left_out"])
            write_json(PART, found)  # a stop loses one shape
            summary = found["shapes"][name]["speedup"]
            print(f"  {name:14} " + "  ".join(f"{peer} {ratio:.1f}x" for peer, ratio in summary.items()), flush=True)
    PART.unlink()
    return found


def _is_left_out(found: dict[str, Any], shape: Shape, peer: str) -> bool:
    """Whether a package is not timed at a large shape, as it is not among the fastest at 8 qubits; it is then named."""
    circuit, qubits, _, tokens = shape
    reference = found["shapes"].get(shape_name(circuit, 8, 8, FEW_TOKENS))
    if peer == OURS or reference is None or (qubits < CROWDED_QUBITS and tokens == FEW_TOKENS):
        return False
    if peer in [name for name in reference["speedup"] if name != PLAIN][:FINALISTS]:
        return False
    found["left_out"][f"{peer} at {shape_name(*shape)}"] = (
        f"not among the {FINALISTS} fastest that finished at 8 qubits"
    )
    return True


def _one_shape(workers: dict[str, Worker], shape: Shape, rounds: int, left_out: dict[str, str]) -> dict[str, Any]:
    """One shape: medians over rounds in which each package runs once; then each one's peak of memory."""
    seconds: dict[str, list[float]] = {}
    slow = set()
    crowded = shape[1] >= CROWDED_QUBITS

    @contextlib.contextmanager
    def turn(peer: str) -> Iterator[Worker]:
        """A package's turn; one that fails, as for want of memory, is left out from then on."""
        worker = workers[peer]
        try:
            yield worker
            if crowded:
                worker.rest()
        except PeerError as error:
            seconds.pop(peer, None)
            left_out[f"{peer} at {shape_name(*shape)}"] = str(error)
            if worker.process is None:  # it was ended: start it again for the next shape
                worker.__enter__()

    for peer in workers:
        with turn(peer) as worker:
            worker.prepare(*shape, timeout=6 * SECONDS_A_RUN)
            first = worker.time(timeout=SECONDS_A_RUN)["wall"]
            if first > SECONDS_A_RUN:
                raise PeerError(f"more than {SECONDS_A_RUN} s")
            seconds[peer] = []
            if first > SLOW:
                slow.add(peer)
    for number in range(min(rounds, 3) if crowded else rounds):
        for peer in list(seconds):
            with turn(peer) as worker:
                if peer not in slow:
                    seconds[peer].append(_turn(worker))
                elif number < 3:
                    seconds[peer].append(worker.time()["wall"])
    memory = {}
    for peer in list(seconds):
        with turn(peer) as worker:
            memory[peer] = worker.memory()["bytes"]
            worker.rest()
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


def summary_of(found: dict[str, Any], targets: dict[int, int], circuit: str = "recorded") -> dict[str, Any]:
    """Against the fastest other package at L = n, which the targets are about; `targets`: tokens for each n."""
    result = {}
    for n, wanted in targets.items():
        tokens = wanted if shape_name(circuit, n, n, wanted) in found["shapes"] else FEW_TOKENS
        one = found["shapes"][shape_name(circuit, n, n, tokens)]
        fastest = next(peer for peer in one["speedup"] if peer != PLAIN)
        result[f"n{n}"] = {
            "speedup_vs_fastest": one["speedup"][fastest],
            "spread": one["spread"][OURS] + one["spread"][fastest],
            "fastest": fastest,
            "memory_ratio": one["memory_bytes"][OURS] / max(1, one["memory_bytes"][fastest]),
            "tokens": tokens,
            "milliseconds": 1e3 * one["seconds"][OURS],
        }
        if tokens != FEW_TOKENS:
            few = found["shapes"][shape_name(circuit, n, n, FEW_TOKENS)]
            fastest, faster = next((peer, ratio) for peer, ratio in few["speedup"].items() if peer != PLAIN)
            result[f"n{n}"][f"speedup_at_{FEW_TOKENS}_tokens"] = faster
            result[f"n{n}"][f"spread_at_{FEW_TOKENS}_tokens"] = few["spread"][OURS] + few["spread"][fastest]
    return result


def all_peers() -> tuple[str, ...]:
    """Every package there is a worker for."""
    return PEERS
