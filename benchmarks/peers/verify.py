"""Whether the peers compute the same as this project's engine: `python -m benchmarks.peers.verify [PEER ...]`."""

import sys
from functools import cache
from typing import Any

import numpy as np
from benchmarks.peers import PEERS, types_of
from benchmarks.peers.client import PeerError, Worker
from benchmarks.peers.environments import NotInstalledError
from benchmarks.peers.rows import CIRCUITS

CASES = ((3, 2), (4, 2), (5, 1))
TOKENS = 7
TOLERANCE = {"float64": 1e-9, "float32": 2e-5}


@cache
def expected(dtype: str) -> list[dict[str, Any]]:
    """The engine's answer to each case."""
    with Worker(PEERS[0]) as reference:
        return answers(reference, dtype)


def answers(worker: Worker, dtype: str) -> list[dict[str, Any]]:
    found = []
    for circuit in CIRCUITS:
        for qubits, layers in CASES:
            worker.prepare(circuit, qubits, layers, TOKENS, seed=qubits, dtype=dtype)
            found.append(worker.check())
    return found


def verify(worker: Worker) -> dict[str, float]:
    """The largest deviation of values and gradients from the engine's, for each type that the package computes in.

    Raises:
        PeerError: If the peer deviates by more than rounding, or fails.
    """
    deviations: dict[str, float] = {}
    for dtype in types_of(worker.peer):
        found = answers(worker, dtype)
        differences = [
            np.abs(np.subtract(mine[key], theirs[key])).max()
            for mine, theirs in zip(found, expected(dtype), strict=True)
            for key in theirs
        ]
        deviations[dtype] = float(max(differences))
        if not deviations[dtype] <= TOLERANCE[dtype]:
            raise PeerError(f"{worker.peer} deviates in {dtype} by {deviations[dtype]:.1e}, over {TOLERANCE[dtype]:g}")
    return deviations


def main() -> int:
    failed = 0
    for peer in sys.argv[1:] or PEERS:
        try:
            with Worker(peer) as worker:
                deviations = verify(worker)
        except NotInstalledError as error:
            print(f"{peer:20} not installed: {error}", flush=True)
        except PeerError as error:
            failed += 1
            print(f"{peer:20} WRONG: {error}", flush=True)
        else:
            print(f"{peer:20} " + ", ".join(f"{dtype} {worst:.1e}" for dtype, worst in deviations.items()), flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
