"""More noise on purpose: a circuit, its inverse, and the circuit again."""

import numpy as np

from qweft.devices.bound import BoundCircuits


def folded(circuits: BoundCircuits, factor: int) -> BoundCircuits:
    """U (U^dagger U)^k with factor = 1 + 2 k: the same unitary, with so many times the gates.

    The inverse of RY(t) and CRZ(t) is the gate with -t. Barriers stand between the parts, or a compiler would take them
    out.

    Args:
        circuits: U.
        factor: Odd, at least 1.
    """
    count = len(circuits.gates)
    gates, angles = circuits.gates, circuits.angles
    backwards = [gates[::-1], gates] * (factor // 2)
    turned = [-angles[:, ::-1], angles] * (factor // 2)
    inside = [place for part in range(factor) for place in _barriers(circuits, part)]
    between = [count * part for part in range(1, factor)]
    return BoundCircuits(
        circuits.qubits,
        gates + tuple(gate for part in backwards for gate in part),
        np.concatenate([angles, *turned], 1),
        tuple(sorted({*inside, *between})),
    )


def _barriers(circuits: BoundCircuits, part: int) -> list[int]:
    """Where the circuits' own barriers come to stand in a part; every other one runs backwards."""
    count = len(circuits.gates)
    return [part * count + (count - place if part % 2 else place) for place in circuits.barriers]
