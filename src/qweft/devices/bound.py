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
"""(name, wires) of each gate in the order of execution."""


@dataclass(frozen=True, eq=False)
class BoundCircuits:
    """Circuits with the same gates on the same wires, each with its own angles.

    All qubits start in |0> and are measured in the Z basis after the last gate.

    Args:
        qubits: Number of qubits n.
        gates: (name, wires) in the order of execution. Names and conventions are those of `qweft.circuit.gates.GATES`.
        angles: (circuits, gates), float64, in radians. The column of a gate without an angle is not read.
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
                "an angle of a circuit is NaN or infinite, since the training diverged; train again with a lower "
                "learning rate"
            )

    @classmethod
    def of(cls, circuit: Circuit, inputs: "torch.Tensor", parameters: "torch.Tensor") -> "BoundCircuits":
        """Bind a circuit to the data (tokens, inputs) of each token and its trained angles."""
        if circuit.amplitudes:
            raise QweftError("the circuit starts from amplitudes, which devices do not prepare")
        data = inputs.detach().double().cpu().numpy()
        trained = parameters.detach().double().cpu().numpy()
        angles = np.zeros((len(data), len(circuit.gates)))
        gates = []
        for index, gate in enumerate(circuit.gates):
            name = gate.name
            kind = GATES[name]
            if kind.has_angle:
                angles[:, index] = bound(gate, data, trained)
            elif len(kind.turns) == 1:
                # S, T and the like become rotations with a fixed angle, so that folding inverts them by negating it;
                # the other gates without an angle are their own inverses
                axis, _, angle = kind.turns[0]
                name = f"r{axis.lower()}"
                angles[:, index] = angle
            gates.append((name, gate.wires))
        return cls(circuit.qubits, tuple(gates), angles)

    def __len__(self) -> int:
        return len(self.angles)

    def pick(self, rows: np.ndarray | Sequence[int] | slice) -> "BoundCircuits":
        """Return the selected circuits, in the given order."""
        return replace(self, angles=self.angles[rows])

    def template(self) -> Circuit:
        """Return the common circuit, with the angles of all gates, in order, as its inputs."""
        gates = []
        for index, (name, wires) in enumerate(self.gates):
            if GATES[name].has_angle:
                gates.append(Gate(name, wires, "input", index))
            else:
                gates.append(Gate(name, wires))
        return Circuit(self.qubits, len(gates), 0, tuple(gates))

    @property
    def barriers(self) -> tuple[int, ...]:
        """Indices of the gates that begin a part; a compiler must not optimize across the point before such a gate."""
        if not self.folds:
            return ()
        gates_a_part = len(self.gates) // self.folds
        return tuple(range(0, len(self.gates), gates_a_part))

    @property
    def form(self) -> tuple[Any, ...]:
        """Everything that circuits have in common, hashable: all but the angles."""
        # the hash of a form is in the key of every stored result: folds 0 and 1 and no placement add nothing to it
        folds = (self.folds,) if self.folds > 1 else ()
        placement = () if self.placed_like is None else (self.placed_like.form[1:],)
        return self.qubits, self.gates, self.barriers, *folds, *placement

    def keys(self) -> list[str]:
        """Return a SHA-256 hash of each circuit; equal circuits have equal keys."""
        hash_of_form = hashlib.sha256(repr(self.form).encode()).digest()
        rows = np.ascontiguousarray(without_negative_zeros(self.angles)).astype("<f8")
        return [hashlib.sha256(hash_of_form + row.tobytes()).hexdigest() for row in rows]

    def unique(self) -> tuple["BoundCircuits", np.ndarray]:
        """Return the distinct circuits in order of first appearance, and each circuit's index among them."""
        _, first_rows, inverse = np.unique(
            without_negative_zeros(self.angles), axis=0, return_index=True, return_inverse=True
        )
        order = np.argsort(first_rows)  # np.unique sorts: restore the order of first appearance
        rank = np.empty_like(order)
        rank[order] = np.arange(len(order))
        return self.pick(first_rows[order]), rank[inverse.reshape(-1)]


def without_negative_zeros(angles: np.ndarray) -> np.ndarray:
    """Return angles with 0.0 in the place of -0.0, whose bytes differ."""
    return angles + 0.0


def pack_circuits(circuits: BoundCircuits) -> bytes:
    """Serialize circuits: gates as JSON, a zero byte, angles as little-endian doubles, all compressed."""
    form: list[Any] = [circuits.qubits, circuits.gates, circuits.barriers, max(1, circuits.folds)]
    model = circuits.placed_like
    if model is not None:
        form += [model.gates, model.barriers, max(1, model.folds)]
    angles = np.ascontiguousarray(circuits.angles).astype("<f8").tobytes()
    return zlib.compress(json.dumps(form).encode() + b"\0" + angles)


def unpack_circuits(packed: bytes) -> BoundCircuits:
    """Deserialize circuits; their keys are unchanged."""
    form, _, angles = zlib.decompress(packed).partition(b"\0")
    qubits, gates, barriers, folds, *model_form = json.loads(form)
    model = None
    if model_form:
        model = _unpack_form(qubits, *model_form)
    circuits = _unpack_form(qubits, gates, barriers, folds)
    table = np.frombuffer(angles, "<f8").reshape(-1, len(gates)).copy()  # frombuffer gives a read-only array
    return replace(circuits, angles=table, placed_like=model)


def _unpack_form(qubits: int, gates: list[Any], barriers: list[int], folds: int) -> BoundCircuits:
    """Return no circuits of a form, with the barriers that tell one part (folds 1) from a free circuit (folds 0)."""
    named_gates = tuple((name, tuple(wires)) for name, wires in gates)
    return BoundCircuits(qubits, named_gates, np.zeros((0, len(named_gates))), folds if barriers else 0)
