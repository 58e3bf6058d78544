"""Circuits as a device receives them: gates, wires, and a number for every angle."""

import hashlib
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from qweft.circuit import Circuit, Gate
from qweft.circuit.formats.common import bound
from qweft.circuit.gates import GATES
from qweft.errors import QweftError

if TYPE_CHECKING:
    import torch

Gates = tuple[tuple[str, tuple[int, ...]], ...]


@dataclass(frozen=True, eq=False)
class BoundCircuits:
    """Circuits with the same gates on the same wires, each with its own angles.

    All qubits start in |0> and are measured in the Z basis after the last gate.

    Args:
        qubits: Number of qubits n.
        gates: (name, wires) in the order of execution. Names and conventions are those of `qweft.circuit.gates.GATES`.
        angles: (circuits, gates), float64, in radians.
        barriers: Indices of gates; a compiler must not optimize across the point before such a gate.
        folds: Odd number f = 1 + 2 k of parts of equal length: U (U^dagger U)^k. A compiler must compile U alone.
        placed_like: Circuits whose readout errors these circuits calibrate. A compiler must end both on the same
            physical qubits.

    Raises:
        QweftError: An angle is NaN or infinite.
    """

    qubits: int
    gates: Gates
    angles: np.ndarray
    barriers: tuple[int, ...] = ()
    folds: int = 1
    placed_like: "BoundCircuits | None" = None

    def __post_init__(self) -> None:
        if self.angles.ndim != 2 or self.angles.shape[1] != len(self.gates):
            raise ValueError(f"angles are {self.angles.shape}, expected (circuits, {len(self.gates)})")
        if not np.isfinite(self.angles).all():
            raise QweftError(
                "an angle of a circuit is not a finite number (NaN or infinity): the training diverged; train it anew "
                "with a lower learning rate"
            )

    @classmethod
    def of(cls, circuit: Circuit, inputs: "torch.Tensor", parameters: "torch.Tensor") -> "BoundCircuits":
        """Bind a circuit to the data (tokens, inputs) of each token and its trained angles."""
        if circuit.amplitudes:
            raise QweftError("the circuit starts from amplitudes, which devices do not prepare")
        data, trained = (each.detach().double().cpu().numpy() for each in (inputs, parameters))
        angles = np.zeros((len(data), len(circuit.gates)))
        gates = []
        for place, gate in enumerate(circuit.gates):
            name = gate.name
            if GATES[name].has_angle:
                angles[:, place] = bound(gate, data, trained)
            elif name in ("s", "t"):  # as RZ, whose inverse is RZ too; other gates without an angle are their own
                name, angles[:, place] = "rz", GATES[name].turns[0][2]
            gates.append((name, gate.wires))
        return cls(circuit.qubits, tuple(gates), angles)

    def __len__(self) -> int:
        return len(self.angles)

    def pick(self, rows: np.ndarray | Sequence[int] | slice) -> "BoundCircuits":
        """Return the selected circuits, in the given order."""
        return replace(self, angles=self.angles[rows])

    def template(self) -> Circuit:
        """Return the common circuit, with the angles of all gates, in order, as its inputs."""
        gates = tuple(
            Gate(name, wires, "input", place) if GATES[name].has_angle else Gate(name, wires)
            for place, (name, wires) in enumerate(self.gates)
        )
        return Circuit(self.qubits, len(gates), 0, gates)

    @property
    def form(self) -> tuple[Any, ...]:
        """Everything that circuits have in common, hashable: all but the angles."""
        folds = () if self.folds == 1 else (self.folds,)
        like = () if self.placed_like is None else (self.placed_like.form[1:],)
        return self.qubits, self.gates, self.barriers, *folds, *like

    def keys(self) -> list[str]:
        """Return a SHA-256 hash of each circuit; equal circuits have equal keys."""
        begin = hashlib.sha256(repr(self.form).encode()).digest()
        angles = np.ascontiguousarray(self.angles + 0.0).astype("<f8")  # -0.0 is 0.0
        return [hashlib.sha256(begin + row.tobytes()).hexdigest() for row in angles]

    def unique(self) -> tuple["BoundCircuits", np.ndarray]:
        """Return the distinct circuits in order of first appearance, and each circuit's index among them."""
        _, first, inverse = np.unique(self.angles + 0.0, axis=0, return_index=True, return_inverse=True)
        order = np.argsort(first)  # np.unique sorts: restore the order of first appearance
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        return self.pick(first[order]), place[inverse.reshape(-1)]


def pack_circuits(circuits: BoundCircuits) -> bytes:
    """Serialize circuits: gates as JSON, a zero byte, angles as little-endian doubles, all compressed."""
    like = circuits.placed_like
    form = [circuits.qubits, circuits.gates, circuits.barriers, circuits.folds]
    form += [] if like is None else [like.gates, like.barriers, like.folds]
    angles = np.ascontiguousarray(circuits.angles).astype("<f8").tobytes()
    return zlib.compress(json.dumps(form).encode() + b"\0" + angles)


def unpack_circuits(packed: bytes) -> BoundCircuits:
    """Deserialize circuits; their keys are unchanged."""
    form, _, angles = zlib.decompress(packed).partition(b"\0")
    qubits, gates, barriers, folds, *like = json.loads(form)
    table = np.frombuffer(angles, "<f8").reshape(-1, len(gates)).copy()  # frombuffer gives a read-only array
    placed_like = None
    if like:
        none = np.zeros((0, len(like[0])))
        placed_like = BoundCircuits(qubits, _gates(like[0]), none, tuple(like[1]), like[2])
    return BoundCircuits(qubits, _gates(gates), table, tuple(barriers), folds, placed_like)


def _gates(listed: list[tuple[str, list[int]]]) -> Gates:
    return tuple((name, tuple(wires)) for name, wires in listed)
