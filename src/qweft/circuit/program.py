"""Any circuit as a short program for the compiled engine.

A state of n qubits is 2^n rows of real and imaginary parts. Three identities make the program short:

- CNOT and X rename basis states, so they move nothing: later steps find their rows by table.
- Consecutive rotations by one generator add their angles.
- Diagonal gates commute, so those between two layers of rotations are one diagonal of 2^n phases.
"""

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from qweft.circuit.description import Circuit, Gate
from qweft.circuit.gates import GATES

REAL, REAL_TWO, IMAGINARY, IMAGINARY_TWO, DIAGONAL, DIAGONAL_OF_TOKEN = range(6)
"""Kinds of steps: rotations by Y or by X, one or two at a time; a diagonal that all tokens share, or one of a token."""


@dataclass(frozen=True)
class Diagonal:
    """Phases that all tokens share: the sum over its angles of half the angle times a sign for each row.

    Args:
        signs: (angles, 2^n): -1, 0 or 1.
        selection: (angles, parameters): each angle as a sum of trained angles.
        constants: (angles,): its constant part, in radians.
    """

    signs: np.ndarray
    selection: np.ndarray
    constants: np.ndarray


@dataclass(frozen=True)
class Program:
    """What the kernels read.

    Args:
        steps: (steps, 5): kind, first entry in `table`, number of its pairs, fours or rows, and its one or two angles.
            A diagonal that all tokens share has its number in place of the angle.
        table: Row numbers: two a pair, four a four. For a diagonal of a token 0, 1 or 2 for each row: the phase is
            -t/2, 0 or t/2.
        terms: (angles,): number of the upload that is added to the angle, or -1.
        selection: (angles, parameters): each angle as a sum of trained angles.
        constants: (angles,): its constant part, in radians.
        uploads: Input and scale of each upload.
        diagonals: Those that all tokens share.
        signs: (products of Z, 2^n): their signs by row.
        z_outputs: The outputs that these products are.
        pairs: (pairs, 4): output, rows a and b, and the entry P_ba of the product of Paulis: 0 for 1, 1 for i, 2 for
            -1, 3 for -i.
        probabilities: (2^n,): row of each basis state at the end; empty if no probabilities are measured.
    """

    steps: np.ndarray
    table: np.ndarray
    terms: np.ndarray
    selection: np.ndarray
    constants: np.ndarray
    uploads: tuple[tuple[int, float], ...]
    diagonals: tuple[Diagonal, ...]
    signs: np.ndarray
    z_outputs: np.ndarray
    pairs: np.ndarray
    probabilities: np.ndarray


@dataclass
class _Angle:
    """A constant, multiples of trained angles, and a multiple of at most one input."""

    constant: float = 0.0
    trained: dict[int, float] = field(default_factory=dict)
    upload: tuple[int, float] | None = None

    def takes(self, gate: Gate) -> bool:
        return gate.source != "input" or self.upload is None or self.upload[0] == gate.index

    def add(self, gate: Gate) -> None:
        if gate.source == "input":
            self.upload = gate.index, gate.scale + (self.upload[1] if self.upload else 0.0)
        elif gate.source == "parameter":
            self.trained[gate.index] = self.trained.get(gate.index, 0.0) + gate.scale
        else:
            self.constant += gate.scale


@dataclass
class _Part:
    """Gates of one generator, a letter for each of its wires, that act together under the same controls.

    named: how often basis states had been renamed before; rows (2^n,): row of each basis state.
    """

    paulis: str
    wires: tuple[int, ...]
    controls: tuple[int, ...]
    named: int
    rows: np.ndarray
    angle: _Angle = field(default_factory=_Angle)

    @property
    def touched(self) -> set[int]:
        return {*self.wires, *self.controls}

    def is_like(self, other: "_Part") -> bool:
        mine, others = ((part.paulis, part.wires, part.controls, part.named) for part in (self, other))
        return mine == others

    def pairs_with(self, other: "_Part") -> bool:
        """Whether both are rotations of one kind and one qubit each that a step can do together."""
        both = self, other
        return (
            all(len(part.touched) == 1 for part in both)
            and (self.paulis, self.named) == (other.paulis, other.named)
            and self.wires != other.wires
        )


class _Blocks:
    """Places gates into blocks: rotations in even ones, diagonals in odd ones, each as early as its wires allow."""

    def __init__(self, circuit: Circuit) -> None:
        self.n = circuit.qubits
        self.states = np.arange(2**self.n)
        self.rows = self.states
        self.named = 0
        self.latest = [0] * self.n  # the last block that each wire depends on
        self.blocks: list[list[_Part]] = []
        for gate in circuit.gates:
            kind = GATES[gate.name]
            controls, targets = gate.wires[: kind.controls], gate.wires[kind.controls :]
            if kind.flips:
                self.rename(controls, targets[0])
            elif kind.has_angle:
                self.place(kind.generator, targets, controls, gate)
            for paulis, places, angle in kind.turns:
                self.place(paulis, tuple(gate.wires[i] for i in places), (), Gate(gate.name, gate.wires, scale=angle))

    def bit(self, wire: int) -> np.ndarray:
        return self.states >> (self.n - 1 - wire) & 1

    def active(self, controls: tuple[int, ...]) -> np.ndarray:
        found = np.ones(len(self.states), bool)
        for wire in controls:
            found &= self.bit(wire) == 1
        return found

    def mask(self, wires: tuple[int, ...]) -> int:
        return sum(1 << (self.n - 1 - wire) for wire in wires)

    def rename(self, controls: tuple[int, ...], target: int) -> None:
        self.rows = self.rows[np.where(self.active(controls), self.states ^ self.mask((target,)), self.states)]
        self.named += 1
        wires = (*controls, target)
        self.reach(max(self.latest[wire] for wire in wires), wires)

    def reach(self, block: int, wires: tuple[int, ...]) -> None:
        for wire in wires:
            self.latest[wire] = block

    def place(self, paulis: str, wires: tuple[int, ...], controls: tuple[int, ...], gate: Gate) -> None:
        part = _Part(paulis, wires, controls, self.named, self.rows)
        is_diagonal = set(paulis) == {"Z"}
        number = max(self.latest[wire] for wire in part.touched)
        number += number % 2 != is_diagonal
        self.reach(number, (*wires, *controls))
        self.blocks += [[] for _ in range(number + 1 - len(self.blocks))]
        for earlier in reversed(self.blocks[number]):
            if earlier.is_like(part) and earlier.angle.takes(gate):
                return earlier.angle.add(gate)
            if not is_diagonal and (earlier.named != self.named or earlier.touched & part.touched):
                break
        part.angle.add(gate)
        self.blocks[number].append(part)

    def signs(self, part: _Part) -> np.ndarray:
        """Return (2^n,): the sign by row of the phase, half the angle, of exp(-i t Z / 2) on the active states."""
        by_state = -self.active(part.controls).astype(np.int8)
        for wire in part.wires:
            by_state = by_state * (1 - 2 * self.bit(wire)).astype(np.int8)
        return _by_row(by_state, part.rows)

    def pairs(self, part: _Part) -> np.ndarray:
        """Return (pairs, 2): the rows that a rotation mixes, that with a 0 on its first wire first."""
        first = self.states[self.active(part.controls) & (self.bit(part.wires[0]) == 0)]
        return _sorted(part.rows[first], part.rows[first ^ self.mask(part.wires)])

    def fours(self, part: _Part, other: _Part) -> np.ndarray:
        """Return (fours, 4): the rows with 00, 01, 10 and 11 on the wires of two rotations."""
        first = self.states[(self.bit(part.wires[0]) == 0) & (self.bit(other.wires[0]) == 0)]
        a, b = self.mask(part.wires), self.mask(other.wires)
        return _sorted(*(part.rows[first ^ change] for change in (0, b, a, a ^ b)))


def _by_row(by_state: np.ndarray, rows: np.ndarray) -> np.ndarray:
    found = np.empty_like(by_state)
    found[rows] = by_state
    return found


def _sorted(*columns: np.ndarray) -> np.ndarray:
    table = np.stack(columns, 1)
    return table[np.argsort(table.min(1))]


class _Writer:
    """Collects steps, tables and angles."""

    def __init__(self, parameters: int) -> None:
        self.parameters = parameters
        self.steps: list[tuple[int, ...]] = []
        self.tables: list[np.ndarray] = []
        self.places: dict[bytes, int] = {}
        self.length = 1
        self.angles: list[_Angle] = []
        self.uploads: dict[tuple[int, float], int] = {}
        self.diagonals: list[Diagonal] = []

    def rotations_of(self, made: _Blocks, block: list[_Part]) -> None:
        """Write a block of rotations, two neighbours in one step where they can be."""
        waiting = list(block)
        while waiting:
            part = waiting.pop(0)
            kind = REAL if part.paulis == "Y" else IMAGINARY
            if waiting and part.pairs_with(waiting[0]):
                other = waiting.pop(0)
                self.step(kind + 1, made.fours(part, other), part, other)
            else:
                self.step(kind, made.pairs(part), part)

    def diagonals_of(self, made: _Blocks, block: list[_Part]) -> None:
        """Write a block of phases: one diagonal for all tokens, and one for each part with an upload."""
        shared = [part for part in block if part.angle.upload is None]
        if shared:
            signs = np.stack([made.signs(part) for part in shared]).astype(np.float64)
            self.steps.append((DIAGONAL, 0, signs.shape[1], len(self.diagonals), 0))
            self.diagonals.append(Diagonal(signs, *self.sums([part.angle for part in shared])))
        for part in block:
            if part.angle.upload:
                self.step(DIAGONAL_OF_TOKEN, made.signs(part) + 1, part)

    def step(self, kind: int, table: np.ndarray, *parts: _Part) -> None:
        """Write a step; equal tables are kept once."""
        key = table.astype(np.int32).tobytes()
        if key not in self.places:
            self.places[key] = self.length
            self.tables.append(table.reshape(-1))
            self.length += table.size
        first = len(self.angles)
        for part in parts:
            self.angles.append(part.angle)
            if part.angle.upload:
                self.uploads.setdefault(part.angle.upload, len(self.uploads))
        self.steps.append((kind, self.places[key], len(table), first, len(self.angles) - 1))

    def sums(self, angles: list[_Angle]) -> tuple[np.ndarray, np.ndarray]:
        """Return the angles as sums of trained angles, (angles, parameters), and their constants."""
        selection = np.zeros((len(angles), self.parameters))
        for row, angle in zip(selection, angles, strict=True):
            for index, scale in angle.trained.items():
                row[index] = scale
        return selection, np.array([angle.constant for angle in angles])


@lru_cache(maxsize=64)
def program_of(circuit: Circuit) -> Program:
    """Return the program of a circuit."""
    made, written = _Blocks(circuit), _Writer(circuit.parameters)
    observables = circuit.observables or ()
    blocks = made.blocks
    if len(blocks) % 2 == 0 and not {"X", "Y"} & set("".join(observables)):
        blocks = blocks[:-1]  # phases right before a measurement of Z show in no value
    for number, block in enumerate(blocks):
        if number % 2:
            written.diagonals_of(made, block)
        else:
            written.rotations_of(made, block)
    z_outputs, signs, pairs = [], [], []
    for output, letters in enumerate(observables):
        flipped = tuple(wire for wire, letter in enumerate(letters) if letter in "XY")
        negative = made.states * 0
        for wire, letter in enumerate(letters):
            if letter in "YZ":
                negative = negative ^ made.bit(wire)
        if not flipped:
            z_outputs.append(output)
            signs.append(_by_row((1 - 2 * negative).astype(np.int8), made.rows))
            continue
        # Y = i X Z: on state a the product is i^(number of Y) times the sign of the Y and Z bits of a
        first = made.states[made.bit(flipped[0]) == 0]
        entry = (letters.count("Y") + 2 * negative[first]) % 4
        rows = made.rows[first], made.rows[first ^ made.mask(flipped)]
        pairs.append(np.stack([np.full_like(first, output), *rows, entry], 1))
    selection, constants = written.sums(written.angles)
    return Program(
        steps=np.array(written.steps, np.int64).reshape(-1, 5),
        table=np.concatenate([np.zeros(1, np.int32), *written.tables]).astype(np.int32),
        terms=np.array([written.uploads[a.upload] if a.upload else -1 for a in written.angles], np.int64),
        selection=selection,
        constants=constants,
        uploads=tuple(written.uploads),
        diagonals=tuple(written.diagonals),
        signs=np.stack(signs) if signs else np.zeros((0, 2**circuit.qubits), np.int8),
        z_outputs=np.array(z_outputs, np.int64),
        pairs=np.concatenate(pairs) if pairs else np.zeros((0, 4), np.int64),
        probabilities=made.rows if circuit.observables is None else np.zeros(0, np.int64),
    )
