"""Circuits as a device gets them: gates, wires, and a number for every angle."""

import hashlib
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from qweft.circuit import Circuit, Gate


@dataclass(frozen=True, eq=False)
class BoundCircuits:
    """Many circuits of one form: the same gates on the same wires, each with angles of its own.

    All qubits start in |0> and are measured in the Z basis after the last gate.

    Args:
        qubits: n.
        gates: (name, wires) in the order in which they act; names and conventions of `qweft.circuit.gates.GATES`.
        angles: (circuits, gates), float64, in radians.
        barriers: Numbers of gates before which a compiler must not reach across: gates that undo each other on purpose
            (noise that is amplified by folding) would be taken out.
        placed_like: Gates and barriers of other circuits of as many qubits, whose errors in reading out these are to
            measure: a compiler must end them on the same qubits of its chip.

    Raises:
        ValueError: If the angles are no table of finite numbers with a column for each gate.
    """

    qubits: int
    gates: tuple[tuple[str, tuple[int, ...]], ...]
    angles: np.ndarray
    barriers: tuple[int, ...] = ()
    placed_like: tuple[tuple[tuple[str, tuple[int, ...]], ...], tuple[int, ...]] | None = None

    def __post_init__(self) -> None:
        if self.angles.ndim != 2 or self.angles.shape[1] != len(self.gates):
            raise ValueError(f"angles are {self.angles.shape}, expected (circuits, {len(self.gates)})")
        if not np.isfinite(self.angles).all():
            bad = int(np.flatnonzero(~np.isfinite(self.angles).all(1))[0])
            raise ValueError(f"circuit {bad} has an angle that is not a finite number")

    @classmethod
    def of(cls, circuit: Circuit, inputs: torch.Tensor, parameters: torch.Tensor) -> "BoundCircuits":
        """The circuit with the data of some tokens.

        Args:
            circuit: The circuit.
            inputs: (tokens, circuit.inputs), in radians.
            parameters: (circuit.parameters,), in radians.
        """
        data = inputs.detach().double().cpu().numpy()
        trained = parameters.detach().double().cpu().numpy()
        angles = np.empty((len(data), len(circuit.gates)))
        for place, gate in enumerate(circuit.gates):
            angles[:, place] = data[:, gate.index] if gate.source == "input" else trained[gate.index]
        return cls(circuit.qubits, tuple((gate.name, gate.wires) for gate in circuit.gates), angles)

    def __len__(self) -> int:
        return len(self.angles)

    def pick(self, rows: np.ndarray | Sequence[int] | slice) -> "BoundCircuits":
        """Some of the circuits, in the order given."""
        return replace(self, angles=self.angles[rows])

    def template(self) -> Circuit:
        """The circuit they share, its inputs being the angles of all gates in their order."""
        gates = tuple(Gate(name, wires, "input", place) for place, (name, wires) in enumerate(self.gates))
        return Circuit(self.qubits, len(gates), 0, gates)

    def keys(self) -> list[str]:
        """For each circuit a hash of all that it is: equal keys are equal circuits.

        Angles enter as their 64 bits, with -0.0 as 0.0.
        """
        what = (self.qubits, self.gates, self.barriers)
        form = hashlib.sha256(repr(what if self.placed_like is None else (*what, self.placed_like)).encode()).digest()
        plain = np.ascontiguousarray(self.angles + 0.0).astype("<f8")
        return [hashlib.sha256(form + row.tobytes()).hexdigest() for row in plain]

    def unique(self) -> tuple["BoundCircuits", np.ndarray]:
        """Each circuit once, and for each of the given ones its place among them."""
        _, first, inverse = np.unique(self.angles + 0.0, axis=0, return_index=True, return_inverse=True)
        order = np.argsort(first)  # as they came
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        return self.pick(first[order]), place[inverse.reshape(-1)]


def pack_circuits(circuits: BoundCircuits) -> bytes:
    """Circuits as bytes: their form as JSON, a zero, and the angles as little-endian doubles, compressed."""
    form = json.dumps([circuits.qubits, circuits.gates, circuits.barriers, circuits.placed_like]).encode()
    return zlib.compress(form + b"\0" + np.ascontiguousarray(circuits.angles).astype("<f8").tobytes())


def unpack_circuits(packed: bytes) -> BoundCircuits:
    """The same circuits, with the same keys."""
    form, _, angles = zlib.decompress(packed).partition(b"\0")
    qubits, gates, barriers, like = json.loads(form)
    table = np.frombuffer(angles, "<f8").reshape(-1, len(gates)).copy()  # which may be written to
    placed_like = None if like is None else (_gates(like[0]), tuple(like[1]))
    return BoundCircuits(qubits, _gates(gates), table, tuple(barriers), placed_like)


def _gates(found: list[tuple[str, list[int]]]) -> tuple[tuple[str, tuple[int, ...]], ...]:
    return tuple((name, tuple(wires)) for name, wires in found)
