"""The trained gates in the steps that a layer is made of, for tables of angles."""

from dataclasses import dataclass

from qweft.circuit.description import Circuit, Gate


@dataclass(frozen=True)
class Step:
    """Trained gates of one kind, one for each qubit at most.

    Args:
        layer: Which layer of the circuit, from 1.
        name: Of the gates: "ry" or "crz".
        hop: From control to target, modulo the number of qubits; 0 for gates on one qubit.
        gates: By the qubit that they turn, or that controls them.
    """

    layer: int
    name: str
    hop: int
    gates: dict[int, Gate]

    def label(self, qubits: int) -> str:
        """What the gates do, with i for the qubit of a column."""
        if not self.hop:
            return f"{self.name.upper()} on i"
        target = f"i+{self.hop}" if self.hop <= qubits - self.hop else f"i-{qubits - self.hop}"
        return f"{self.name.upper()} i to {target}"


def trained_steps(circuit: Circuit, layers: int) -> list[Step]:
    """The trained gates, a step for each run of gates of one kind and hop.

    Args:
        circuit: A circuit of an ansatz: its trained angles are numbered layer by layer.
        layers: How many layers it has.
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
