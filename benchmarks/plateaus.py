"""How the gradients of the circuit fall with qubits and layers, for each start.

    OMP_NUM_THREADS=1 python -m benchmarks.plateaus        (a minute on one core)

Writes benchmarks/results/plateaus.json. Exact expectation values: shots add noise that these variances know nothing of.
"""

import argparse
import math
import time
from collections.abc import Sequence
from itertools import product
from typing import Any

import torch

from qweft.circuit import Circuit, crz_ring_ansatz
from qweft.core.files import write_json
from qweft.inspect.states import BOUNDS, gradient_variances

QUBITS = range(2, 11)
LAYERS = {"1": lambda n: 1, "2": lambda n: 2, "4": lambda n: 4, "n": lambda n: n}
SHOWN = ("first_rotation", "first_phase", "last_rotation", "mean")


def decay(qubits: Sequence[int], variances: Sequence[float]) -> float:
    """Returns the factor by which the variance changes per added qubit: exp(slope of ln variance against qubits)."""
    xs = torch.tensor(qubits, dtype=torch.float64)
    ys = torch.tensor(variances, dtype=torch.float64).log()
    xs, ys = xs - xs.mean(), ys - ys.mean()
    return math.exp(float((xs * ys).sum() / xs.square().sum()))


def variances_of(circuit: Circuit, start: str, uploads: int, draws: int) -> dict[str, float | None]:
    """Returns `gradient_variances` of the rotations of qubit 0, of the first phase, and their mean over all angles."""
    variances = gradient_variances(circuit, start, uploads, draws).tolist()
    trained = [gate for gate in circuit.gates if gate.source == "parameter"]
    rotations = [variances[gate.index] for gate in trained if gate.wires == (0,)]
    phases = [variances[gate.index] for gate in trained if len(gate.wires) > 1] or [None]
    kept = rotations[0], phases[0], rotations[-1], sum(variances) / len(variances)
    return dict(zip(SHOWN, kept, strict=True))


def ansatz_variance(qubits: int, layers: int, start: str, draws: int) -> dict[str, float | None]:
    """Returns the variances of the CRZ ring ansatz, with its input uploaded before every layer."""
    return variances_of(crz_ring_ansatz(qubits, layers), start, layers, draws)


def rounded(value: float) -> float:
    return float(f"{value:.4g}")


def measured(draws: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """A line for each start, depth and number of qubits, and the fitted decays."""
    lines: list[dict[str, Any]] = []
    decays: list[dict[str, Any]] = []
    for start, depth in product(BOUNDS, LAYERS):
        own = []
        for n in QUBITS:
            found: dict[str, Any] = ansatz_variance(n, LAYERS[depth](n), start, draws)
            own.append(found)
            lines.append({"start": start, "layers": depth, "qubits": n, **{k: rounded(v) for k, v in found.items()}})
            print(f"{start:9} L = {depth:2} n = {n:2}", *(f"{found[key]:10.3g}" for key in SHOWN), flush=True)
        fitted = {key: rounded(decay(QUBITS, [found[key] for found in own])) for key in SHOWN}
        decays.append({"start": start, "layers": depth, "factor_per_qubit": fitted})
        print(f"{start:9} L = {depth:2} a qubit", *(f"{fitted[key]:10.3g}" for key in SHOWN), flush=True)
    return lines, decays


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", default="benchmarks/results/plateaus.json")
    parser.add_argument("--draws", type=int, default=400, help="random starts of each circuit")
    arguments = parser.parse_args()
    began = time.perf_counter()
    print(" " * 19, *(f"{key:>10.10}" for key in SHOWN))
    lines, decays = measured(arguments.draws)
    seconds = round(time.perf_counter() - began)
    write_json(arguments.output, {"draws": arguments.draws, "seconds": seconds, "decays": decays, "variances": lines})
    print(f"{seconds} s, written to {arguments.output}")


if __name__ == "__main__":
    main()
