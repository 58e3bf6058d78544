"""The circuit as data: the one definition that engines, exports, drawings and counts read."""

import json
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property, lru_cache
from itertools import count
from typing import Any, Literal

from qweft.circuit.gates import GATES
from qweft.core.errors import QweftError
from qweft.core.text import many

Source = Literal["input", "parameter", "constant"]


@dataclass(frozen=True)
class Gate:
    """One gate; its angle in radians is the scale times an entry of the input, a trained parameter, or one.

    Args:
        name: A key of `qweft.circuit.gates.GATES`.
        wires: The qubits it acts on, controls first. Qubit 0 is the most significant bit of the basis index.
        source: Where the angle comes from: "input" (the token's data), "parameter" (trained), or "constant" for an
            angle that is `scale` itself and for a gate without an angle.
        index: Index of the angle in its source.
        scale: Factor of the angle.
    """

    name: str
    wires: tuple[int, ...]
    source: Source = "constant"
    index: int = 0
    scale: float = 1.0


@dataclass(frozen=True)
class Circuit:
    """Gates on qubits that start in |0...0>, and what is measured after them.

    Args:
        qubits: Number of qubits n.
        inputs: Number of entries of a token's data.
        parameters: Number of trained angles.
        gates: The gates in the order in which they act.
        measured: What the outputs are: "Z" for Z on each qubit, "probabilities" for those of the 2^n basis states, or
            products of Paulis like ("Z0", "X1 Y2"), one output each.
        amplitudes: Number of leading inputs that are the amplitudes of the first basis states, at most 2^n. They are
            divided by their norm; a row of zeros gives the zero state. Without any the state starts in |0...0>.

    Raises:
        QweftError: If a gate or an observable is unknown, or names a wire, input or parameter that does not exist.
    """

    qubits: int
    inputs: int
    parameters: int
    gates: tuple[Gate, ...]
    measured: Literal["Z", "probabilities"] | tuple[str, ...] = "Z"
    amplitudes: int = 0

    def __post_init__(self) -> None:
        if self.qubits < 1 or not 0 <= self.amplitudes <= min(self.inputs, 2**self.qubits):
            raise QweftError(f"{self.amplitudes} amplitudes of {self.inputs} inputs do not fit {self.qubits} qubits")
        for gate in self.gates:
            kind = GATES.get(gate.name)
            if kind is None:
                raise QweftError(f"unknown gate {gate.name!r}; known gates: {', '.join(GATES)}")
            if len(gate.wires) != kind.wires or len(set(gate.wires)) != kind.wires:
                raise QweftError(f"{gate.name} acts on {many(kind.wires, 'distinct qubit')}, got {gate.wires}")
            if not set(gate.wires) <= set(range(self.qubits)):
                raise QweftError(f"{gate.name} on qubits {gate.wires} of a circuit with {many(self.qubits, 'qubit')}")
            if gate.source != "constant":
                entries = self.inputs if gate.source == "input" else self.parameters
                if not 0 <= gate.index < entries:
                    raise QweftError(f"{gate.name} on {gate.wires} names {gate.source} {gate.index} of {entries}")
        _ = self.observables  # names that do not exist are found now

    @cached_property
    def observables(self) -> tuple[str, ...] | None:
        """What is measured as letters I, X, Y, Z, one for each qubit; `None` for probabilities."""
        if self.measured == "probabilities":
            return None
        if self.measured == "Z":
            return tuple("I" * q + "Z" + "I" * (self.qubits - q - 1) for q in range(self.qubits))
        if isinstance(self.measured, str) or not self.measured:
            raise QweftError(f"measured is {self.measured!r}, not 'Z', 'probabilities' or products: ('Z0', 'X1 Y2')")
        return tuple(_letters(product, self.qubits) for product in self.measured)

    @property
    def uploads(self) -> int:
        """The most gates that one input is the angle of, at least 1."""
        return max([1, *Counter(gate.index for gate in self.gates if gate.source == "input").values()])

    @property
    def outputs(self) -> int:
        """Number of outputs: n, 2^n, or the number of products."""
        return 2**self.qubits if self.observables is None else len(self.observables)

    def __hash__(self) -> int:  # of a text, which keeps its own: circuits are looked up at every call
        return hash(self.text)

    @cached_property
    def text(self) -> str:
        """The circuit as JSON, which `from_text` reads."""
        return json.dumps(asdict(self), default=lambda number: number.item())  # of NumPy

    @classmethod
    @lru_cache(maxsize=64)
    def from_text(cls, text: str) -> "Circuit":
        """Return the circuit of a `text`."""
        found = json.loads(text)
        gates = tuple(Gate(**{**gate, "wires": tuple(gate["wires"])}) for gate in found.pop("gates"))
        return cls(**{**found, "gates": gates, "measured": _measured(found["measured"])})

    def dead_parameters(self) -> tuple[int, ...]:
        """Return parameters of gates that are diagonal up to the measurement: no input or angle gives them a gradient.

        Taken backwards through the gates, a measured Z stays diagonal on every wire that is not the target of a gate
        that is not diagonal. So a diagonal gate is dead if none of its wires is such a target later on, or measured in
        another basis. Diagonal gates that act on the initial |0...0> are not searched for.
        """
        measured = zip(*(self.observables or ()), strict=True)
        living_wires = {wire for wire, letters in enumerate(measured) if set(letters) & {"X", "Y"}}
        dead, living = set[int](), set[int]()
        for gate in reversed(self.gates):
            kind = GATES[gate.name]
            if not kind.is_diagonal:
                living_wires.update(gate.wires[kind.controls :])
            if gate.source == "parameter":
                lives = not kind.is_diagonal or living_wires.intersection(gate.wires)
                (living if lives else dead).add(gate.index)
        return tuple(sorted(dead - living))


def _measured(given: Any) -> Any:
    return given if isinstance(given, str) else tuple(given)


def _letters(product: str, qubits: int) -> str:
    """Return "X1 Y2" as letters for each qubit."""
    letters = ["I"] * qubits
    for factor in product.split():
        pauli, wire = factor[:1].upper(), factor[1:]
        if pauli not in "XYZ" or not wire.isdecimal() or int(wire) >= qubits or letters[int(wire)] != "I":
            raise QweftError(
                f"measured has {product!r}: {factor} is not X, Y or Z with a qubit of its own, 0 to {qubits - 1}"
            )
        letters[int(wire)] = pauli
    return "".join(letters)


@dataclass(frozen=True)
class Angle:
    """A multiple of an input or a trained angle, for `circuit_of`; made by `c(i)` and `t(i)`."""

    source: Literal["input", "parameter"]
    index: int
    scale: float = 1.0

    def __mul__(self, factor: float) -> "Angle":
        return replace(self, scale=self.scale * factor)

    __rmul__ = __mul__

    def __neg__(self) -> "Angle":
        return self * -1


def c(index: int) -> Angle:
    """Return an input by its number, as an angle; a factor before it makes a multiple."""
    return Angle("input", index)


def t(index: int) -> Angle:
    """Return a trained angle by its number."""
    return Angle("parameter", index)


def circuit_of(
    qubits: int,
    *gates: tuple[Any, ...],
    measured: Literal["Z", "probabilities"] | Sequence[str] = "Z",
    amplitudes: int = 0,
) -> Circuit:
    """Return a circuit from rows (name, qubits ..., angle), for example ("crx", 0, 1, 2 * c(0)).

    Inputs and trained angles are counted by the highest index that a gate names.

    Args:
        qubits: n.
        gates: Name, qubits with controls first, and an angle: `c(i)`, `t(i)`, a multiple of one, or a number in
            radians. ("rot", q, a, b, c) stands for RZ(a), RY(b), RZ(c), in this order. H, X, S, T, CNOT and CZ have no
            angle.
        measured: As in `Circuit`.
        amplitudes: As in `Circuit`; angles of inputs count on from there.

    Raises:
        QweftError: If a row does not name a gate with its qubits and angle.
    """
    made: list[Gate] = []
    for name, *rest in gates:
        if name != "rot":
            made.append(_gate(name, rest, amplitudes))
        elif len(rest) == 4:
            turns = zip(("rz", "ry", "rz"), rest[1:], strict=True)
            made += [_gate(axis, [rest[0], angle], amplitudes) for axis, angle in turns]
        else:
            raise QweftError(f"rot takes a qubit and three angles, got {rest}")
    counted = {source: [1 + g.index for g in made if g.source == source] for source in ("input", "parameter")}
    inputs, parameters = max([amplitudes, *counted["input"]]), max([0, *counted["parameter"]])
    return Circuit(qubits, inputs, parameters, tuple(made), _measured(measured), amplitudes)


def _gate(name: str, rest: list[Any], amplitudes: int) -> Gate:
    kind = GATES.get(name)
    if kind is None:
        raise QweftError(f"unknown gate {name!r}; known gates: {', '.join(GATES)}, rot")
    if len(rest) != kind.wires + kind.has_angle:
        takes = f"{many(kind.wires, 'qubit')} and {'an' if kind.has_angle else 'no'} angle"
        raise QweftError(f"{name} takes {takes}, got {tuple(rest)}")
    wires, angle = tuple(rest[: kind.wires]), rest[-1]
    if not kind.has_angle or not isinstance(angle, Angle):
        return Gate(name, wires, scale=float(angle) if kind.has_angle else 1.0)
    return Gate(name, wires, angle.source, angle.index + (amplitudes if angle.source == "input" else 0), angle.scale)


@lru_cache(maxsize=64)
def crz_ring_ansatz(qubits: int, layers: int, reupload: bool = True) -> Circuit:
    """RY rotations alternating with two rings of controlled phases: R^n -> R^n with n = qubits.

    With re-upload each of the L layers is, in this order (t: trained angles, c: the input)

    1. RY(c_i) on qubit i
    2. CRZ(t_i), control i, target (i + 1) mod n
    3. RY(t_i) on qubit i
    4. CRZ(t_i), control i, target (i - 1) mod n
    5. RY(t_i) on qubit i

    Without it, step 1 runs once before the first layer and a layer is RY, CRZ, RY, CRZ (steps 3, 2, 5, 4). The last
    ring is then right before the measurement, and its angles are dead (`Circuit.dead_parameters`).

    Both have 4 n L parameters in the order layer, step, qubit. A single qubit has no ring, and 2 L parameters.

    Args:
        qubits: n, at least 1.
        layers: L, at least 1.
        reupload: Whether the input is uploaded before every layer, or once.

    Raises:
        QweftError: If there is no qubit or no layer.

    Source: docs/method.md, The circuit (on record in the authors' later public code).
    """
    _check_size(qubits, layers)
    upload: list[tuple[Any, ...]] = [("ry", i, c(i)) for i in range(qubits)]
    rows, number = [] if reupload else list(upload), count()
    for _ in range(layers):
        rows += upload if reupload else []
        for hop in (1, 0, -1, 0) if reupload else (0, 1, 0, -1):
            if hop == 0:
                rows += [("ry", i, t(next(number))) for i in range(qubits)]
            elif qubits > 1:
                rows += [("crz", i, (i + hop) % qubits, t(next(number))) for i in range(qubits)]
    return circuit_of(qubits, *rows)


def _check_size(qubits: int, layers: int) -> None:
    if qubits < 1 or layers < 1:
        raise QweftError(f"a circuit needs at least 1 qubit and 1 layer, got {qubits} qubits and {layers} layers")


@lru_cache(maxsize=64)
def hardware_efficient_ansatz(qubits: int, layers: int) -> Circuit:
    """RY and RZ on each qubit and a ring of CNOTs, after an upload by RY, in each layer: R^n -> R^n.

    A layer is RY(c_i), RY(t_i), RZ(t_i) on each qubit i, then CNOT from i to (i + 1) mod n. At the end RY(t_i) on each
    qubit. It has n (2 L + 1) parameters in the order layer, step, qubit; a ring of two qubits is one CNOT.

    Args:
        qubits: n, at least 1.
        layers: L, at least 1.

    Raises:
        QweftError: If there is no qubit or no layer.

    Source: the form of Kandala et al., Nature 549, 242 (2017), with an upload in each layer; not on record for QWTHN.
    """
    _check_size(qubits, layers)
    wires = range(qubits)
    ring = [(i, (i + 1) % qubits) for i in wires][: qubits if qubits > 2 else qubits - 1]
    rows: list[tuple[Any, ...]] = []
    for first in range(0, 2 * qubits * layers, 2 * qubits):
        rows += [("ry", i, c(i)) for i in wires]
        rows += [("ry", i, t(first + i)) for i in wires]
        rows += [("rz", i, t(first + qubits + i)) for i in wires]
        rows += [("cnot", *pair) for pair in ring]
    rows += [("ry", i, t(2 * qubits * layers + i)) for i in wires]
    return circuit_of(qubits, *rows)


@lru_cache(maxsize=64)
def unentangled(circuit: Circuit) -> tuple[Circuit, tuple[int, ...]]:
    """Return the circuit of the gates on one qubit with renumbered parameters, and the old number of each of them."""
    kept = [gate for gate in circuit.gates if len(gate.wires) == 1]
    numbers = tuple(sorted({gate.index for gate in kept if gate.source == "parameter"}))
    gates = tuple(
        replace(gate, index=numbers.index(gate.index)) if gate.source == "parameter" else gate for gate in kept
    )
    return replace(circuit, parameters=len(numbers), gates=gates), numbers


TO_Z = {"X": Gate("h", (0,)), "Y": Gate("rx", (0,), scale=math.pi / 2)}
"""What brings a Pauli to Z."""


@lru_cache(maxsize=64)
def measured_as_z(circuit: Circuit) -> tuple[tuple[Circuit, tuple[int, ...], tuple[int, ...]], ...]:
    """Return circuits that measure Z on each qubit, the outputs that they give and the qubits of these."""
    # single Paulis of one letter share a circuit; CNOTs bring a product to Z of its last qubit
    found: dict[str, tuple[list[Gate], dict[int, int]]] = {}
    for output, letters in enumerate(circuit.observables or ()):
        *others, last = (wire for wire, letter in enumerate(letters) if letter != "I")
        gates, wires = found.setdefault(letters if others else letters[last], ([], {}))
        turns = [replace(TO_Z[letters[wire]], wires=(wire,)) for wire in (*others, last) if letters[wire] in TO_Z]
        gates += [gate for gate in (*turns, *(Gate("cnot", (wire, last)) for wire in others)) if gate not in gates]
        wires[output] = last
    return tuple(
        (replace(circuit, gates=(*circuit.gates, *gates), measured="Z"), tuple(wires), tuple(wires.values()))
        for gates, wires in found.values()
    )


@dataclass(frozen=True)
class Counts:
    """The size of a circuit in some gate set: gates by name, by qubits, and steps if other qubits act meanwhile."""

    gates: dict[str, int]
    one_qubit: int
    two_qubit: int
    depth: int
    two_qubit_depth: int


def counts(circuit: Circuit) -> Counts:
    """Return the size of the circuit as it is written."""
    return counts_of([(gate.name, gate.wires) for gate in circuit.gates])


def counts_of(gates: Sequence[tuple[str, Sequence[int]]]) -> Counts:
    """Return the size of gates given as (name, wires), in the order in which they act."""
    two = [wires for _, wires in gates if len(wires) == 2]
    return Counts(
        dict(Counter(name for name, _ in gates).most_common()),
        sum(len(wires) == 1 for _, wires in gates),
        len(two),
        _depth(wires for _, wires in gates),
        _depth(two),
    )


def _depth(steps: Iterable[Sequence[int]]) -> int:
    """Return the length of the longest chain of steps that depend on each other."""
    reached: dict[int, int] = {}
    for wires in steps:
        time = 1 + max(reached.get(wire, 0) for wire in wires)
        reached.update(dict.fromkeys(wires, time))
    return max(reached.values(), default=0)
