"""Any circuit as a short program for the kernels of CPUs, on 2^n rows of real and imaginary parts.

CNOT and X only rename basis states, rotations by one generator in a row add, diagonals between rotations are one.
"""

from dataclasses import dataclass, field
from functools import cached_property, lru_cache

import numpy as np

from qweft.circuit.description import Circuit, Gate
from qweft.circuit.gates import GATES

REAL, REAL_TWO, IMAGINARY, IMAGINARY_TWO, TURN_ALL, DIAGONAL, DIAGONAL_OF_TOKEN = range(7)
"""Kinds of steps: rotations by Y or by X, one or two at a time; RY on every qubit, whose rows are in their own order; a
diagonal that all tokens share, or one of a token.
"""
STEPS, TERMS, ROWS, Z_OUTPUTS, PAIRS, SIGNS, TABLE, END, QUBITS, MODE, UPLOADS, AMPLITUDES = range(12)
"""Places in the code: where its parts begin, and four numbers."""
EACH_Z, PROBABILITIES, PRODUCTS = range(3)
"""What is measured."""


@dataclass(frozen=True, eq=False)
class Diagonals:
    """Diagonals that all tokens share: phases are sums over angles of half the angle times a sign for each row."""

    numbers: slice | list[int]  # theirs in the program
    half_signs: np.ndarray  # (angles, 2^n): -1/2, 0 or 1/2
    selection: np.ndarray  # (diagonals angles, parameters): each angle as a sum of trained angles
    constants: np.ndarray  # (diagonals angles,): its constant part


@dataclass(frozen=True, eq=False)
class Program:
    """What the kernels read; `code` has integers: where the parts begin, `QUBITS` and so on, and the parts.

    Steps, five numbers each: kind, first entry in the table, number of its pairs, fours or rows, and one or two angles;
    a diagonal that all tokens share has its number in place of the angle.
    Terms: the number of the upload that is added to each angle, or -1.
    Rows: the row of each basis state at the end.
    Z outputs: the outputs that are products of Z; their signs by row are a part too.
    Pairs, four numbers each: output, rows a and b, and p of the entry P_ba = i^p of the product of Paulis.
    Table: row numbers, two a pair, four a four. For a diagonal of a token 0, 1 or 2 for each row: phase -t/2, 0 or t/2.
    """

    code: np.ndarray
    qubits: int
    outputs: int
    blocks: int  # steps that are not in `diagonals`
    selection: np.ndarray  # (angles, parameters): each angle as a sum of trained angles
    constants: np.ndarray  # (angles,): its constant part, in radians
    uploads: tuple[tuple[int, float], ...]  # input and scale of each
    amplitudes: int  # leading inputs that are amplitudes
    diagonals: tuple[Diagonals, ...]  # those that all tokens share
    kind: np.dtype  # of all numbers

    @cached_property
    def wires(self) -> slice | list[int]:
        """The input of each upload."""
        return _in_order([wire for wire, _ in self.uploads])

    @cached_property
    def half_scales(self) -> np.ndarray:
        """(uploads, 1): half the factor of each upload."""
        return np.array([[scale / 2] for _, scale in self.uploads], self.kind).reshape(-1, 1)

    @cached_property
    def is_plain(self) -> bool:
        """Whether the uploads are the leading inputs."""
        return isinstance(self.wires, slice) and bool((self.half_scales == 0.5).all())


def _in_order(numbers: list[int]) -> slice | list[int]:
    """Return a slice, which copies nothing, if the numbers follow each other."""
    follow = slice(numbers[0], numbers[0] + len(numbers)) if numbers else slice(0, 0)
    return follow if numbers == list(range(follow.start, follow.stop)) else numbers


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

    def join(self, other: "_Angle") -> None:
        self.constant += other.constant
        for index, scale in other.trained.items():
            self.trained[index] = self.trained.get(index, 0.0) + scale


@dataclass
class _Part:
    """Gates of one generator, a letter for each of its wires, that act together under the same controls."""

    paulis: str
    wires: tuple[int, ...]
    controls: tuple[int, ...]
    named: int  # how often basis states had been renamed before
    rows: np.ndarray  # (2^n,): row of each basis state
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

    def __init__(self, made: _Blocks, parameters: int, kind: np.dtype) -> None:
        self.made, self.parameters, self.kind = made, parameters, kind
        self.steps: list[tuple[int, ...]] = []
        self.tables: list[np.ndarray] = []
        self.places: dict[bytes, int] = {}
        self.angles: list[_Angle] = []
        self.uploads: dict[tuple[int, float], int] = {}
        self.shared: dict[frozenset[int], list[tuple[int, list[_Part]]]] = {}  # by how basis states were named

    def rotations_of(self, block: list[_Part]) -> None:
        """Write a block of rotations: all at once, or two neighbours in one step where they can be."""
        parts = sorted(block, key=lambda part: part.wires)
        one_each = [part.touched for part in parts] == [{wire} for wire in range(self.made.n)]
        if one_each and all(part.paulis == "Y" and part.named == 0 for part in parts):
            return self.step(TURN_ALL, np.zeros(0, np.int64), *parts)
        waiting = list(block)
        while waiting:
            part = waiting.pop(0)
            kind = REAL if part.paulis == "Y" else IMAGINARY
            if waiting and part.pairs_with(waiting[0]):
                other = waiting.pop(0)
                self.step(kind + 1, self.made.fours(part, other), part, other)
            else:
                self.step(kind, self.made.pairs(part), part)

    def diagonals_of(self, block: list[_Part]) -> None:
        """Write a block of phases: one diagonal for all tokens, and one for each part with an upload."""
        shared = [part for part in block if part.angle.upload is None]
        if shared:
            number = sum(map(len, self.shared.values()))
            self.shared.setdefault(frozenset(part.named for part in shared), []).append((number, shared))
            self.steps.append((DIAGONAL, 0, 0, number, 0))
        for part in block:
            if part.angle.upload:
                self.step(DIAGONAL_OF_TOKEN, self.made.signs(part) + 1, part)

    def step(self, kind: int, table: np.ndarray, *parts: _Part) -> None:
        """Write a step; equal tables are kept once."""
        numbers = table.reshape(-1).astype(np.int64)
        if numbers.tobytes() not in self.places:
            self.places[numbers.tobytes()] = sum(map(len, self.tables))
            self.tables.append(numbers)
        first = len(self.angles)
        for part in parts:
            self.angles.append(part.angle)
            if part.angle.upload:
                self.uploads.setdefault(part.angle.upload, len(self.uploads))
        self.steps.append((kind, self.places[numbers.tobytes()], len(table), first, len(self.angles) - 1))

    def sums(self, angles: list[_Angle]) -> tuple[np.ndarray, np.ndarray]:
        """Return the angles as sums of trained angles, (angles, parameters), and their constants."""
        selection = np.zeros((len(angles), self.parameters), self.kind)
        for row, angle in zip(selection, angles, strict=True):
            for index, scale in angle.trained.items():
                row[index] = scale
        return selection, np.array([angle.constant for angle in angles], self.kind)

    def diagonals(self) -> tuple[Diagonals, ...]:
        """Return the diagonals of equal names together, over all signs that one of them has."""
        found = []
        for group in self.shared.values():
            signs: dict[bytes, np.ndarray] = {}
            entries: list[dict[bytes, _Angle]] = []
            for _, parts in group:
                entries.append({})
                for part in parts:
                    row = self.made.signs(part)
                    signs[row.tobytes()] = row
                    entries[-1].setdefault(row.tobytes(), _Angle()).join(part.angle)
            angles = [entry.get(key, _Angle()) for entry in entries for key in signs]
            half_signs = (np.stack([*signs.values()]) / 2).astype(self.kind)
            found.append(Diagonals(_in_order([number for number, _ in group]), half_signs, *self.sums(angles)))
        return tuple(found)


@lru_cache(maxsize=128)
def program_of(circuit: Circuit, kind: np.dtype) -> Program:
    """Return the program of a circuit, with numbers of this type."""
    made = _Blocks(circuit)
    written = _Writer(made, circuit.parameters, kind)
    blocks = made.blocks
    if len(blocks) % 2 == 0 and not {"X", "Y"} & set("".join(circuit.observables or ())):
        blocks = blocks[:-1]  # phases right before a measurement of Z show in no value
    for number, block in enumerate(blocks):
        if number % 2:
            written.diagonals_of(block)
        else:
            written.rotations_of(block)
    mode, z_outputs, signs, pairs = _measured(circuit, made)
    parts = {
        STEPS: np.array(written.steps, np.int64),
        TERMS: np.array([written.uploads[a.upload] if a.upload else -1 for a in written.angles], np.int64),
        ROWS: made.rows,
        Z_OUTPUTS: z_outputs,
        PAIRS: pairs,
        SIGNS: signs,
        TABLE: np.concatenate([*written.tables, np.zeros(0, np.int64)]),
    }
    selection, constants = written.sums(written.angles)
    return Program(
        code=_code(parts, circuit.qubits, mode, len(written.uploads), circuit.amplitudes),
        qubits=circuit.qubits,
        outputs=circuit.outputs,
        blocks=sum(step[0] != DIAGONAL for step in written.steps),
        selection=selection,
        constants=constants,
        uploads=tuple(written.uploads),
        amplitudes=circuit.amplitudes,
        diagonals=written.diagonals(),
        kind=kind,
    )


def _code(parts: dict[int, np.ndarray], *numbers: int) -> np.ndarray:
    """Return the code of a program from its parts in their order, and the four numbers."""
    starts = np.cumsum([END + 1 + len(numbers), *(part.size for part in parts.values())])
    return np.concatenate([starts, numbers, *(part.reshape(-1) for part in parts.values())]).astype(np.int64)


def _measured(circuit: Circuit, made: _Blocks) -> tuple[int, np.ndarray, np.ndarray, np.ndarray]:
    """Return the mode, and for `PRODUCTS` the outputs that are products of Z, their signs, and the pairs of others."""
    z_outputs, signs, pairs = list[int](), list[np.ndarray](), list[np.ndarray]()
    mode = {"Z": EACH_Z, "probabilities": PROBABILITIES}.get(str(circuit.measured), PRODUCTS)
    for output, letters in enumerate((circuit.observables or ()) if mode == PRODUCTS else ()):
        flipped = tuple(wire for wire, letter in enumerate(letters) if letter in "XY")
        negative = made.states * 0
        for wire, letter in enumerate(letters):
            if letter in "YZ":
                negative = negative ^ made.bit(wire)
        if not flipped:
            z_outputs.append(output)
            signs.append(_by_row(1 - 2 * negative, made.rows))
            continue
        # Y = i X Z: on state a the product is i^(number of Y) times the sign of the Y and Z bits of a
        first = made.states[made.bit(flipped[0]) == 0]
        entry = (letters.count("Y") + 2 * negative[first]) % 4
        rows = made.rows[first], made.rows[first ^ made.mask(flipped)]
        pairs.append(np.stack([np.full_like(first, output), *rows, entry], 1))
    none = np.zeros(0, np.int64)
    by_row, mixed = (np.concatenate([none, *map(np.ravel, each)]) for each in (signs, pairs))
    return mode, np.array(z_outputs, np.int64), by_row, mixed


@lru_cache(maxsize=128)
def program_of_blocks(qubits: int, uploads: tuple[bool, ...], kind: np.dtype) -> Program:
    """Return the program of the blocks of `alternating.Alternating`, whose angles are given: rotations and phases."""
    steps, terms = list[tuple[int, ...]](), list[int]()
    for block, here in enumerate(uploads):
        steps += [(DIAGONAL, 0, 0, block - 1, 0)] if block else []
        steps.append((TURN_ALL, 0, 0, block * qubits, (block + 1) * qubits - 1))
        terms += range(qubits) if here else [-1] * qubits
    none = np.zeros(0, np.int64)
    parts = {STEPS: np.array(steps), TERMS: np.array(terms), ROWS: np.arange(2**qubits)}
    parts |= dict.fromkeys((Z_OUTPUTS, PAIRS, SIGNS, TABLE), none)
    return Program(
        code=_code(parts, qubits, EACH_Z, qubits, 0),
        qubits=qubits,
        outputs=qubits,
        blocks=len(uploads),
        selection=none,
        constants=none,
        uploads=tuple((wire, 1.0) for wire in range(qubits)),
        amplitudes=0,
        diagonals=(),
        kind=kind,
    )
