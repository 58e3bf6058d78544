"""What the fast engines run: the gates gathered into blocks of rotations and blocks of phases.

Exact identities only: RY gates on one qubit that follow each other add their angles (a layer's last RY and the next
layer's upload become one), and CRZ gates commute, so that a whole ring is one diagonal of 2^n phases.
"""

from dataclasses import dataclass
from functools import lru_cache

import torch

from qweft.circuit.description import Circuit, Gate


@dataclass(frozen=True)
class Block:
    """Consecutive gates of one kind, as linear maps from inputs and parameters to angles.

    Args:
        kind: "rotation": RY on qubit q by angles[q] (n angles); "diagonal": basis state d turns by exp(i angles[d])
            (2^n angles).
        from_inputs: (angles, circuit.inputs), or none where no input feeds the block.
        from_parameters: (angles, circuit.parameters), or none where no parameter does.
    """

    kind: str
    from_inputs: torch.Tensor | None
    from_parameters: torch.Tensor | None


def basis_signs(qubits: int) -> torch.Tensor:
    """(2^n, n): +1 where the bit of the qubit is 0, -1 where it is 1; qubit 0 is the most significant bit."""
    index = torch.arange(2**qubits)[:, None]
    shift = torch.arange(qubits - 1, -1, -1)[None, :]
    return (1 - 2 * ((index >> shift) & 1)).to(torch.float64)


def _block(circuit: Circuit, kind: str, gates: list[Gate]) -> Block:
    signs = basis_signs(circuit.qubits)
    rows = circuit.qubits if kind == "rotation" else 2**circuit.qubits
    maps = {
        "input": torch.zeros(rows, circuit.inputs, dtype=torch.float64),
        "parameter": torch.zeros(rows, circuit.parameters, dtype=torch.float64),
    }
    for gate in gates:
        column = maps[gate.source][:, gate.index]
        if kind == "rotation":
            column[gate.wires[0]] += 1
        else:  # CRZ turns |1 0> by -angle/2 and |1 1> by +angle/2, and leaves a control in |0> alone
            control, target = gate.wires
            column += (1 - signs[:, control]) / 2 * -signs[:, target] / 2
    kept = {source: matrix if bool(matrix.any()) else None for source, matrix in maps.items()}
    return Block(kind, kept["input"], kept["parameter"])


@lru_cache(maxsize=64)
def blocks_of(circuit: Circuit) -> tuple[Block, ...]:
    """The circuit's gates as the fewest blocks in a row, rotations and diagonals in turn."""
    runs: list[tuple[str, list[Gate]]] = []
    for gate in circuit.gates:
        kind = "rotation" if gate.name == "ry" else "diagonal"
        if not runs or runs[-1][0] != kind:
            runs.append((kind, []))
        runs[-1][1].append(gate)
    return tuple(_block(circuit, kind, gates) for kind, gates in runs)


@lru_cache(maxsize=256)
def _moved(matrix_key: "_Key", dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    return matrix_key.matrix.to(device=device, dtype=dtype)


class _Key:
    """Hashes a constant matrix by identity, so that its copy on a device is made once."""

    def __init__(self, matrix: torch.Tensor):
        self.matrix = matrix

    def __hash__(self) -> int:
        return id(self.matrix)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and other.matrix is self.matrix


def constant(matrix: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """A constant of the program in the type and on the device of `like`, copied there once."""
    return _moved(_Key(matrix), like.dtype, like.device)
