"""A few chips by name: the gates that they have, and which qubits are neighbours.

They are what a compiler needs to count gates, and no record of errors; Qiskit's fake backends have those.
"""

from collections.abc import Callable
from dataclasses import dataclass

Edges = tuple[tuple[int, int], ...]


def line(qubits: int) -> Edges:
    """Each qubit beside the next."""
    return tuple((place, place + 1) for place in range(qubits - 1))


def lattice(rows: int, columns: int) -> Edges:
    """A square lattice, its qubits numbered row by row."""
    along = ((row * columns + i, row * columns + i + 1) for row in range(rows) for i in range(columns - 1))
    across = ((row * columns + i, (row + 1) * columns + i) for row in range(rows - 1) for i in range(columns))
    return (*along, *across)


@dataclass(frozen=True)
class Chip:
    """A chip.

    Args:
        name: As the user gives it.
        gates: What it can do, by Qiskit's names of gates.
        qubits: How many it has; none means as many as a circuit takes.
        edges: From the number of qubits to the pairs that can take a gate together, in either order; none means all.
        source: Where this is from, and what of it is ours.
    """

    name: str
    gates: tuple[str, ...]
    qubits: int | None
    edges: Callable[[int], Edges] | None
    source: str

    def size_for(self, qubits: int) -> int:
        """How many qubits it has for a circuit of so many."""
        return qubits if self.qubits is None else self.qubits


SUPERCONDUCTING = ("u3", "cz")
CHIPS = {
    chip.name: chip
    for chip in (
        Chip(
            "all-to-all", SUPERCONDUCTING, None, None,
            "u3 and cz between any two qubits: what the noise models of this package assume; no chip is like that",
        ),
        Chip("line", SUPERCONDUCTING, None, line, "u3 and cz along a line of as many qubits as the circuit has: ours"),
        Chip(
            "lattice", SUPERCONDUCTING, 72, lambda _: lattice(6, 12),
            "u3 and cz on a square lattice of 6 x 12. Origin's Wukong has 72 qubits and 126 couplers (its maker, "
            "January 2024), as many as this lattice; that they form it whole, and that all of them work, is our "
            "simplification",
        ),
        Chip(
            "ion-trap", ("r", "rz", "rzz"), None, None,
            "rotations and exp(-i t ZZ / 2) of any angle between any two ions, as Quantinuum describes its machines "
            "(U1q, Rz, ZZPhase); as many ions as the circuit has",
        ),
    )
}  # fmt: skip
