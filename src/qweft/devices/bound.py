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
from qweft.core.errors import QweftError

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
        folds: Odd number f = 1 + 2 k of parts of equal length: U (U^dagger U)^k. A compiler must compile U alone. 0 for
            circuits that it may optimize as it likes.
        placed_like: Circuits whose readout errors these circuits calibrate. A compiler must end both on the same
            physical qubits.

    Raises:
        QweftError: An angle is NaN or infinite.
    """

    qubits: int
    gates: Gates
    angles: np.ndarray
    folds: int = 0
    placed_like: "BoundCircuits | None" = None

    def __post_init__(self) -> None:
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
            elif len(turns := GATES[name].turns) == 1:  # as a rotation with an angle; the others are their own inverses
                name, angles[:, place] = f"r{turns[0][0].lower()}", turns[0][2]
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
    def barriers(self) -> tuple[int, ...]:
        """Indices of the gates that begin a part; a compiler must not optimize across the point before such a gate."""
        return tuple(range(0, len(self.gates), len(self.gates) // self.folds)) if self.folds else ()

    @property
    def form(self) -> tuple[Any, ...]:
        """Everything that circuits have in common, hashable: all but the angles."""
        folds = (self.folds,) if self.folds > 1 else ()
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
    forms = [each for each in (circuits, circuits.placed_like) if each is not None]
    form = [circuits.qubits, *(part for each in forms for part in (each.gates, each.barriers, max(1, each.folds)))]
    angles = np.ascontiguousarray(circuits.angles).astype("<f8").tobytes()
    return zlib.compress(json.dumps(form).encode() + b"\0" + angles)


def unpack_circuits(packed: bytes) -> BoundCircuits:
    """Deserialize circuits; their keys are unchanged."""
    form, _, angles = zlib.decompress(packed).partition(b"\0")
    qubits, *parts = json.loads(form)
    like = _unpacked(qubits, parts[3:], b"") if len(parts) > 3 else None
    return _unpacked(qubits, parts[:3], angles, like)


def _unpacked(qubits: int, form: list[Any], angles: bytes, like: BoundCircuits | None = None) -> BoundCircuits:
    listed, barriers, folds = form
    gates = tuple((name, tuple(wires)) for name, wires in listed)
    table = np.frombuffer(angles, "<f8").reshape(-1, len(gates)).copy()  # frombuffer gives a read-only array
    return BoundCircuits(qubits, gates, table, folds if barriers else 0, like)
