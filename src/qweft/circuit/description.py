"""The circuit as data: the one definition that engines, exports, drawings and counts read."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property, lru_cache
from typing import Any, Literal

from qweft.circuit.gates import GATES


@dataclass(frozen=True)
class Gate:
    """One gate whose angle is an entry of the input or of the trained parameters.

    Args:
        name: A key of `qweft.circuit.gates.GATES`.
        wires: The qubits it acts on, controls first. Qubit 0 is the most significant bit of the basis index.
        source: Where the angle comes from: "input" (the token's data) or "parameter" (trained).
        index: Index of the angle in its source.
    """

    name: str
    wires: tuple[int, ...]
    source: Literal["input", "parameter"]
    index: int


@dataclass(frozen=True)
class Circuit:
    """Gates on qubits that start in |0...0>; the output is the expectation of Z on each qubit.

    Args:
        qubits: Number of qubits n; the output has n entries.
        inputs: Number of entries of a token's data.
        parameters: Number of trained angles.
        gates: The gates in the order in which they act.

    Raises:
        ValueError: If a gate is unknown, or names a wire, input or parameter that does not exist.
    """

    qubits: int
    inputs: int
    parameters: int
    gates: tuple[Gate, ...]

    def __post_init__(self) -> None:
        for gate in self.gates:
            sources = self.inputs if gate.source == "input" else self.parameters
            wires = set(gate.wires)
            kind = GATES.get(gate.name)
            if kind is None or kind.wires != len(gate.wires) or len(wires) != len(gate.wires):
                known = {name: kind.wires for name, kind in GATES.items()}
                raise ValueError(f"{gate} is not a known gate on distinct wires; known gates and wires: {known}")
            if not wires <= set(range(self.qubits)) or not 0 <= gate.index < sources:
                raise ValueError(f"{gate} names a wire, input or parameter outside of {self.qubits} qubits, {sources}")

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        """The hash, cached: circuits are looked up at every call and have hundreds of gates."""
        return hash((self.qubits, self.inputs, self.parameters, self.gates))

    def __getstate__(self) -> dict[str, object]:  # another process hashes strings differently
        return {name: value for name, value in self.__dict__.items() if name != "_hash"}

    def dead_parameters(self) -> tuple[int, ...]:
        """Return parameters of gates that are diagonal up to the measurement: no input or angle gives them a gradient.

        Taken backwards through the gates, a measured Z stays diagonal on every wire that is not the target of a gate
        that is not diagonal. So a diagonal gate is dead if none of its wires is such a target later on. Diagonal gates
        that act on the initial |0...0> are not searched for.
        """
        living_wires: set[int] = set()  # targets of later gates that are not diagonal
        dead = set()
        for gate in reversed(self.gates):
            kind = GATES[gate.name]
            if not kind.is_diagonal:
                living_wires.update(gate.wires[kind.controls :])
            elif gate.source == "parameter" and not living_wires.intersection(gate.wires):
                dead.add(gate.index)
        return tuple(sorted(dead))


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
        ValueError: If there is no qubit or no layer.

    Source: docs/method.md, The circuit (on record in the authors' later public code).
    """
    if qubits < 1 or layers < 1:
        raise ValueError(f"a circuit needs at least 1 qubit and 1 layer, got {qubits} qubits and {layers} layers")
    upload = [Gate("ry", (i,), "input", i) for i in range(qubits)]
    gates: list[Gate] = [] if reupload else list(upload)
    count = 0

    def add(name: str, hop: int) -> None:
        nonlocal count
        if hop and qubits == 1:
            return
        for i in range(qubits):
            wires = (i, (i + hop) % qubits) if hop else (i,)
            gates.append(Gate(name, wires, "parameter", count))
            count += 1

    for _ in range(layers):
        if reupload:
            gates.extend(upload)
            steps = [("crz", 1), ("ry", 0), ("crz", -1), ("ry", 0)]
        else:
            steps = [("ry", 0), ("crz", 1), ("ry", 0), ("crz", -1)]
        for name, hop in steps:
            add(name, hop)
    return Circuit(qubits, qubits, count, tuple(gates))


@lru_cache(maxsize=64)
def unentangled(circuit: Circuit) -> tuple[Circuit, tuple[int, ...]]:
    """Return the circuit of the gates on one qubit with renumbered parameters, and the old number of each of them."""
    kept = [gate for gate in circuit.gates if len(gate.wires) == 1]
    numbers = tuple(sorted({gate.index for gate in kept if gate.source == "parameter"}))
    gates = tuple(
        replace(gate, index=numbers.index(gate.index)) if gate.source == "parameter" else gate for gate in kept
    )
    return Circuit(circuit.qubits, circuit.inputs, len(numbers), gates), numbers


@dataclass(frozen=True)
class Counts:
    """The size of a circuit in some gate set.

    Args:
        gates: Number of gates by name, the most frequent first.
        one_qubit: Number of gates on one qubit.
        two_qubit: Number of gates on two qubits.
        depth: Number of steps if gates on different qubits act at the same time.
        two_qubit_depth: The depth if only gates on two qubits count.
    """

    gates: dict[str, int]
    one_qubit: int
    two_qubit: int
    depth: int
    two_qubit_depth: int

    def to_json(self) -> dict[str, Any]:
        """Return the fields as a JSON object."""
        return asdict(self)


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


@dataclass(frozen=True)
class Step:
    """Trained gates of one kind, at most one for each qubit.

    Args:
        layer: Layer of the circuit, from 1.
        name: Name of the gates, a key of `GATES`.
        hop: Distance from control to target, modulo the number of qubits; 0 for gates on one qubit.
        gates: The gates by their qubit, or by their control.
    """

    layer: int
    name: str
    hop: int
    gates: dict[int, Gate]

    def label(self, qubits: int) -> str:
        """Return what the gates do, with i for the qubit."""
        if not self.hop:
            return f"{self.name.upper()} on i"
        target = f"i+{self.hop}" if self.hop <= qubits - self.hop else f"i-{qubits - self.hop}"
        return f"{self.name.upper()} i to {target}"


def trained_steps(circuit: Circuit, layers: int) -> list[Step]:
    """Return the trained gates, one step for each run of gates of one kind and hop.

    Args:
        circuit: A circuit of an ansatz: its trained angles are numbered layer by layer.
        layers: Number of its layers.
    """
    of_layer = max(circuit.parameters // layers, 1)
    found: list[Step] = []
    for gate in circuit.gates:
        if gate.source == "input":
            continue
        wire, layer = gate.wires[0], 1 + gate.index // of_layer
        hop = (gate.wires[-1] - wire) % circuit.qubits
        last = found[-1] if found else None
        if last is None or (last.layer, last.name, last.hop) != (layer, gate.name, hop) or wire in last.gates:
            last = Step(layer, gate.name, hop, {})
            found.append(last)
        last.gates[wire] = gate
    return found
