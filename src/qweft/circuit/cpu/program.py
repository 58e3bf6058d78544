"""Any circuit as a short program for the kernels of CPUs, on 2^n rows of real and imaginary parts.

CNOT and X only rename basis states, rotations by one generator in a row add, diagonals between rotations are one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
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
class Trained:
    """How the angles of steps, and the phases of the diagonals that all tokens share, come from the trained angles."""

    selection: np.ndarray  # (angles + diagonals terms, parameters): each as a sum of trained angles
    constants: np.ndarray  # (angles + diagonals terms,): its constant part, in radians
    half_signs: np.ndarray  # (diagonals, terms, 2^n): -1/2, 0 or 1/2 for each row; a phase is a sum of terms

    def parts(self, parameters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the angles of steps (angles,) and the phases (diagonals, 2^n) of trained angles (parameters,)."""
        found = self.selection @ parameters + self.constants
        diagonals, terms, size = self.half_signs.shape
        angles = len(found) - diagonals * terms
        phases = found[angles:].reshape(diagonals, 1, terms) @ self.half_signs
        return found[:angles], phases.reshape(diagonals, size)

    def gradient(self, to_angles: np.ndarray, to_phases: np.ndarray) -> np.ndarray:
        """Return the transpose of `parts`: the gradient to the trained angles."""
        diagonals, _, size = self.half_signs.shape
        to_terms = self.half_signs @ to_phases.reshape(diagonals, size, 1)
        return np.concatenate([to_angles, to_terms.reshape(-1)]) @ self.selection


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
    blocks: int  # steps that are not diagonals that all tokens share
    uploads: tuple[tuple[int, float], ...]  # input and scale of each
    kind: np.dtype  # of all numbers
    amplitudes: int = 0  # leading inputs that are amplitudes

    @cached_property
    def wires(self) -> slice | list[int]:
        """The input of each upload; a slice, which copies nothing, if they are the leading ones."""
        wires = [wire for wire, _ in self.uploads]
        return slice(len(wires)) if wires == list(range(len(wires))) else wires

    @cached_property
    def half_scales(self) -> np.ndarray:
        """(uploads, 1): half the factor of each upload."""
        return np.array([[scale / 2] for _, scale in self.uploads], self.kind).reshape(-1, 1)

    @cached_property
    def is_plain(self) -> bool:
        """Whether the uploads are the leading inputs."""
        return isinstance(self.wires, slice) and bool((self.half_scales == 0.5).all())


@dataclass
class _Part:
    """Gates of one generator, a letter for each of its wires, that act together under the same controls."""

    paulis: str
    wires: tuple[int, ...]
    controls: tuple[int, ...]
    named: int  # how often basis states had been renamed before
    rows: np.ndarray  # (2^n,): row of each basis state
    trained: np.ndarray  # (parameters + 1,): its angle as multiples of trained angles, and of one
    upload: tuple[int, float] | None = None  # an input, and its factor

    @property
    def touched(self) -> set[int]:
        return {*self.wires, *self.controls}

    def joins(self, other: "_Part") -> bool:
        """Whether both are of one generator on the same wires, and upload no two inputs."""
        same = all(getattr(self, name) == getattr(other, name) for name in ("paulis", "wires", "controls", "named"))
        return same and (self.upload is None or other.upload is None or self.upload[0] == other.upload[0])

    def pairs_with(self, other: "_Part") -> bool:
        """Whether both are rotations of one kind and one qubit each that a step can do together."""
        return (
            len(self.touched) == len(other.touched) == 1
            and (self.paulis, self.named) == (other.paulis, other.named)
            and self.wires != other.wires
        )


class _Blocks:
    """Places gates into blocks: rotations in even ones, diagonals in odd ones, each as early as its wires allow."""

    def __init__(self, circuit: Circuit) -> None:
        self.n, self.parameters = circuit.qubits, circuit.parameters
        self.states = np.arange(2**self.n)
        self.rows = self.states
        self.named = 0
        self.latest = np.zeros(self.n, int)  # the last block that each wire depends on
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

    def sign(self, wires: Sequence[int]) -> np.ndarray:
        """Return (2^n,): the product of Z on these wires by basis state."""
        found = np.ones_like(self.states)
        for wire in wires:
            found *= 1 - 2 * self.bit(wire)
        return found

    def active(self, controls: tuple[int, ...]) -> np.ndarray:
        return self.states & self.mask(controls) == self.mask(controls)

    def mask(self, wires: tuple[int, ...]) -> int:
        return sum(1 << (self.n - 1 - wire) for wire in wires)

    def rename(self, controls: tuple[int, ...], target: int) -> None:
        self.rows = self.rows[self.states ^ self.active(controls) * self.mask((target,))]
        self.named += 1
        wires = [*controls, target]
        self.latest[wires] = self.latest[wires].max()

    def place(self, paulis: str, wires: tuple[int, ...], controls: tuple[int, ...], gate: Gate) -> None:
        part = _Part(paulis, wires, controls, self.named, self.rows, np.zeros(self.parameters + 1))
        if gate.source == "input":
            part.upload = gate.index, gate.scale
        else:
            part.trained[gate.index if gate.source == "parameter" else -1] = gate.scale
        is_diagonal = set(paulis) == {"Z"}
        number = self.latest[[*part.touched]].max()
        number += number % 2 != is_diagonal
        self.latest[[*part.touched]] = number
        self.blocks += [[] for _ in range(number + 1 - len(self.blocks))]
        for earlier in reversed(self.blocks[number]):
            if earlier.joins(part):
                earlier.trained += part.trained
                if part.upload:
                    earlier.upload = gate.index, gate.scale + (earlier.upload[1] if earlier.upload else 0)
                return
            if not is_diagonal and (earlier.named != self.named or earlier.touched & part.touched):
                break
        self.blocks[number].append(part)

    def signs(self, part: _Part) -> np.ndarray:
        """Return (2^n,): the sign by row of the phase, half the angle, of exp(-i t Z / 2) on the active states."""
        return _by_row(-(self.active(part.controls) * self.sign(part.wires)).astype(np.int8), part.rows)

    def table(self, *parts: _Part) -> np.ndarray:
        """Return the rows that one rotation mixes, (pairs, 2), or that two mix, (fours, 4), zeros on wires first."""
        first, changes = self.active(parts[0].controls), [0]
        for part in reversed(parts):
            first = first & (self.bit(part.wires[0]) == 0)
            changes += [change ^ self.mask(part.wires) for change in changes]
        rows = np.stack([parts[0].rows[self.states[first] ^ change] for change in changes], 1)
        return rows[np.argsort(rows.min(1))]


def _by_row(by_state: np.ndarray, rows: np.ndarray) -> np.ndarray:
    found = np.empty_like(by_state)
    found[rows] = by_state
    return found


class _Writer:
    """Collects steps, tables and angles."""

    def __init__(self, made: _Blocks) -> None:
        self.made = made
        self.steps: list[tuple[int, ...]] = []
        self.tables: list[np.ndarray] = []
        self.places: dict[bytes, int] = {}
        self.angles: list[_Part] = []
        self.uploads: dict[tuple[int, float], int] = {}
        self.phases: list[dict[bytes, np.ndarray]] = []  # terms of each diagonal that all tokens share, by their signs

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
            parts = [part]
            if waiting and part.pairs_with(waiting[0]):
                parts.append(waiting.pop(0))
                kind += 1
            self.step(kind, self.made.table(*parts), *parts)

    def diagonals_of(self, block: list[_Part]) -> None:
        """Write a block of phases: one diagonal for all tokens, and one for each part with an upload."""
        shared = [part for part in block if part.upload is None]
        if shared:
            self.steps.append((DIAGONAL, 0, 0, len(self.phases), 0))
            terms: dict[bytes, np.ndarray] = {}
            for part in shared:
                signs = self.made.signs(part).tobytes()
                terms[signs] = terms.get(signs, 0) + part.trained
            self.phases.append(terms)
        for part in block:
            if part.upload:
                self.step(DIAGONAL_OF_TOKEN, self.made.signs(part) + 1, part)

    def step(self, kind: int, table: np.ndarray, *parts: _Part) -> None:
        """Write a step; equal tables are kept once."""
        numbers = table.reshape(-1).astype(np.int64)
        if numbers.tobytes() not in self.places:
            self.places[numbers.tobytes()] = sum(map(len, self.tables))
            self.tables.append(numbers)
        first = len(self.angles)
        for part in parts:
            self.angles.append(part)
            if part.upload:
                self.uploads.setdefault(part.upload, len(self.uploads))
        self.steps.append((kind, self.places[numbers.tobytes()], len(table), first, len(self.angles) - 1))

    def trained(self, kind: np.dtype) -> Trained:
        """Return how all angles come from trained ones, with numbers of this type."""
        most = max(map(len, self.phases), default=0)
        terms = np.zeros((len(self.phases), most, self.made.parameters + 1))
        half_signs = np.zeros((len(self.phases), most, 2**self.made.n), kind)
        for diagonal, by_signs in enumerate(self.phases):
            for place, signs in enumerate(by_signs):
                terms[diagonal, place] = by_signs[signs]
                half_signs[diagonal, place] = np.frombuffer(signs, np.int8) / 2
        rows = np.array([*(part.trained for part in self.angles), *terms.reshape(-1, self.made.parameters + 1)], kind)
        rows = rows.reshape(-1, self.made.parameters + 1)
        return Trained(np.ascontiguousarray(rows[:, :-1]), rows[:, -1].copy(), half_signs)


@lru_cache(maxsize=128)
def program_of(circuit: Circuit, kind: np.dtype) -> tuple[Program, Trained]:
    """Return the program of a circuit, and how its angles come from the trained ones, with numbers of this type."""
    made = _Blocks(circuit)
    written = _Writer(made)
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
        TERMS: np.array([written.uploads[part.upload] if part.upload else -1 for part in written.angles], int),
        ROWS: made.rows,
        Z_OUTPUTS: z_outputs,
        PAIRS: pairs,
        SIGNS: signs,
        TABLE: np.concatenate([*written.tables, np.zeros(0, np.int64)]),
    }
    program = Program(
        code=_code(parts, circuit.qubits, mode, len(written.uploads), circuit.amplitudes),
        qubits=circuit.qubits,
        outputs=circuit.outputs,
        blocks=sum(step[0] != DIAGONAL for step in written.steps),
        uploads=tuple(written.uploads),
        kind=kind,
        amplitudes=circuit.amplitudes,
    )
    return program, written.trained(kind)


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
        sign = made.sign([wire for wire, letter in enumerate(letters) if letter in "YZ"])
        if not flipped:
            z_outputs.append(output)
            signs.append(_by_row(sign, made.rows))
            continue
        # Y = i X Z: on state a the product is i^(number of Y) times the sign of the Y and Z bits of a
        first = made.states[made.bit(flipped[0]) == 0]
        entry = (letters.count("Y") + 1 - sign[first]) % 4
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
        uploads=tuple((wire, 1.0) for wire in range(qubits)),
        kind=kind,
    )
