"""The circuits on record for the method, as descriptions."""

from dataclasses import replace
from functools import lru_cache

from qweft.circuit.description import Circuit, Gate


@lru_cache(maxsize=64)
def crz_ring_ansatz(qubits: int, layers: int, reupload: bool = True) -> Circuit:
    """RY rotations between two rings of controlled phases: R^n -> R^n with n = qubits.

    With re-upload each of the L layers is, in this order (t: trained angles, c: the input)

    1. RY(c_i) on qubit i
    2. CRZ(t_i), control i, target (i + 1) mod n
    3. RY(t_i) on qubit i
    4. CRZ(t_i), control i, target (i - 1) mod n
    5. RY(t_i) on qubit i

    Without it, step 1 stands once before the first layer and a layer is RY, CRZ, RY, CRZ (steps 3, 2, 5, 4): the last
    ring then stands before the measurement and its angles are dead (`Circuit.dead_parameters`).

    Either has 4 n L parameters in the order layer, step, qubit. A single qubit has no ring, and 2 L parameters.

    Args:
        qubits: n >= 1.
        layers: L >= 1.
        reupload: Upload the input before every layer, or once.

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
def without_crz(circuit: Circuit) -> tuple[Circuit, tuple[int, ...]]:
    """The circuit without its CRZ gates: no entanglement, each qubit by itself.

    Args:
        circuit: A circuit of RY and CRZ gates.

    Returns:
        The circuit of the RY gates, its parameters numbered anew, and for each of them its number in the old one.
    """
    kept = [gate for gate in circuit.gates if gate.name != "crz"]
    numbers = tuple(sorted({gate.index for gate in kept if gate.source == "parameter"}))
    gates = tuple(
        replace(gate, index=numbers.index(gate.index)) if gate.source == "parameter" else gate for gate in kept
    )
    return Circuit(circuit.qubits, circuit.inputs, len(numbers), gates), numbers
