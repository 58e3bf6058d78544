"""The raced circuits as data: rows (gate, qubits, source, index), a layer and what follows the last one.

The source is "x", the tokens' data, or "t", the trained angles of the layer or of the end, or None without an angle.
"""

CIRCUITS = ("recorded", "hardware-efficient")
Row = tuple[str, tuple[int, ...], str | None, int]


def layer_of(circuit: str, qubits: int) -> list[Row]:
    """The rows of one layer, as `qweft.circuit.crz_ring_ansatz` and `hardware_efficient_ansatz` have them."""
    wires = range(qubits)
    rows: list[Row] = [("ry", (i,), "x", i) for i in wires]
    if circuit == "recorded":
        for step, hop in enumerate((1, 0, -1, 0)):
            for i in wires:
                places = (i, (i + hop) % qubits) if hop else (i,)
                rows.append(("crz" if hop else "ry", places, "t", step * qubits + i))
        return rows
    rows += [("ry", (i,), "t", i) for i in wires]
    rows += [("rz", (i,), "t", qubits + i) for i in wires]
    return rows + [("cnot", (i, (i + 1) % qubits), None, 0) for i in wires]


def end_of(circuit: str, qubits: int) -> list[Row]:
    """The rows after the last layer."""
    return [] if circuit == "recorded" else [("ry", (i,), "t", i) for i in range(qubits)]


def angles_of(circuit: str, qubits: int, layers: int) -> tuple[int, int]:
    """How many trained angles a layer and the end have."""
    return (4 * qubits, 0) if circuit == "recorded" else (2 * qubits, qubits)


def rows_of(circuit: str, qubits: int, layers: int) -> list[Row]:
    """All rows, the trained angles numbered through."""
    of_layer, _ = angles_of(circuit, qubits, layers)
    parts = [(layer * of_layer, layer_of(circuit, qubits)) for layer in range(layers)]
    parts.append((layers * of_layer, end_of(circuit, qubits)))
    return [
        (gate, wires, source, index + (first if source == "t" else 0))
        for first, rows in parts
        for gate, wires, source, index in rows
    ]
