"""The drawings hold every gate of the description, on its wires and in its order."""

import re
import xml.etree.ElementTree as ET
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qweft.circuit import Circuit, Gate, crz_ring_ansatz
from qweft.circuit.drawing import circuit_svg, circuit_text, columns, label, parts

BOX = re.compile(r"R[YZ]\([ct]\d+\)")


@st.composite
def gate_lists(draw, qubits):
    """Gates on random wires, fed by random angles."""
    gates = []
    for _ in range(draw(st.integers(1, 12))):
        source = draw(st.sampled_from(["input", "parameter"]))
        index = draw(st.integers(0, 30 if source == "parameter" else qubits - 1))
        two = qubits > 1 and draw(st.booleans())
        wires = draw(st.permutations(range(qubits)))[: 2 if two else 1]
        gates.append(Gate("crz" if two else "ry", tuple(wires), source, index))
    return gates


@st.composite
def circuits(draw):
    """Random gates, sometimes repeated with angles of their own."""
    qubits = draw(st.integers(1, 5))
    gates = draw(gate_lists(qubits))
    times, stride = draw(st.integers(1, 4)), draw(st.integers(0, 9))
    grown = [
        replace(gate, index=gate.index + k * stride) if gate.source == "parameter" else gate
        for k in range(times)
        for gate in gates
    ]
    return Circuit(qubits, qubits, 200, tuple(grown))


def written_out(found):
    """The gates that parts stand for."""
    return tuple(
        replace(gate, index=gate.index + k * part.stride) if gate.source == "parameter" else gate
        for part in found
        for k in range(part.times)
        for gate in part.gates
    )


def drawn_gates(circuit):
    """The gates that a drawing of the circuit holds, in their order."""
    return [gate for part in parts(circuit) for gate in part.gates]


@settings(max_examples=60, deadline=None)
@given(circuits())
def test_parts_are_the_circuit(circuit):
    assert written_out(parts(circuit)) == circuit.gates


@pytest.mark.parametrize("reupload", [True, False])
@pytest.mark.parametrize(("qubits", "layers"), [(4, 3), (3, 5), (3, 1)])
def test_the_circuits_on_record_are_drawn_as_one_layer(qubits, layers, reupload):
    found = parts(crz_ring_ansatz(qubits, layers, reupload))
    assert [part.times for part in found] == ([layers] if reupload or layers == 1 else [1, layers])
    assert len(found[-1].gates) == (5 if reupload else 4 if layers > 1 else 5) * qubits
    assert found[-1].stride == (4 * qubits if layers > 1 else 0)


@settings(max_examples=60, deadline=None)
@given(circuits())
def test_columns_keep_the_order_on_every_wire_and_nothing_lies_across_a_gate(circuit):
    found = columns(circuit.gates, circuit.qubits)
    for column in found:
        taken = [wire for gate in column for wire in range(min(gate.wires), max(gate.wires) + 1)]
        assert len(taken) == len(set(taken))
    for wire in range(circuit.qubits):
        placed = [gate for column in found for gate in column if wire in gate.wires]
        assert placed == [gate for gate in circuit.gates if wire in gate.wires]


@settings(max_examples=60, deadline=None)
@given(circuits())
def test_the_svg_holds_every_gate_on_its_wires_in_its_order(circuit):
    root = ET.fromstring(circuit_svg(circuit, "c", longest=10**6))
    groups = [element for element in root.iter("g") if element.get("data-gate")]
    read = [(g.get("data-gate"), tuple(map(int, g.get("data-wires").split())), g.find("text").text) for g in groups]
    assert Counter(read) == Counter((gate.name, gate.wires, label(gate)) for gate in drawn_gates(circuit))
    heights = [float(text.get("y")) - 4 for text in root.iter("text") if text.get("class") == "wire"]
    assert heights == sorted(heights) and len(heights) == circuit.qubits
    by_wire = {wire: [] for wire in range(circuit.qubits)}
    for group, (_, wires, text) in zip(groups, read, strict=True):
        box = group.find("rect")
        assert float(box.get("y")) + float(box.get("height")) / 2 == pytest.approx(heights[wires[-1]])
        if len(wires) > 1:
            assert float(group.find("circle").get("cy")) == pytest.approx(heights[wires[0]])
        for wire in wires:
            by_wire[wire].append((float(box.get("x")), text))
    for wire, found in by_wire.items():
        assert [text for _, text in sorted(found)] == [label(g) for g in drawn_gates(circuit) if wire in g.wires]


@settings(max_examples=60, deadline=None)
@given(circuits())
def test_the_text_holds_every_gate_on_its_wires_in_its_order(circuit):
    rows = dict.fromkeys(range(circuit.qubits), "")
    for line in circuit_text(circuit, width=10**6).splitlines():
        found = re.match(r"q(\d+)\s", line)
        if found:
            rows[int(found[1])] += line
    for wire, row in rows.items():
        targets = [label(gate) for gate in drawn_gates(circuit) if gate.wires[-1] == wire]
        assert BOX.findall(row) == targets
        assert row.count("●") == sum(gate.wires[0] == wire for gate in drawn_gates(circuit) if gate.name == "crz")
        # boxes and dots in the order of the description
        signs = re.findall(r"●|R[YZ]\([ct]\d+\)", row)
        expected = [label(g) if g.wires[-1] == wire else "●" for g in drawn_gates(circuit) if wire in g.wires]
        assert signs == expected


@pytest.mark.parametrize("width", [40, 60, 100])
def test_a_long_circuit_goes_on_below_and_loses_no_gate(width):
    circuit = crz_ring_ansatz(6, 6)
    text = circuit_text(circuit, width)
    assert max(len(line) for line in text.splitlines() if line.startswith("q")) <= width
    assert len(BOX.findall(text)) == 5 * 6
    assert text.startswith("6 times, each time with the next 24 angles t")
    lines = ET.fromstring(circuit_svg(circuit, "c", longest=5))
    assert sum(1 for g in lines.iter("g") if g.get("data-gate")) == 5 * 6
    heading = "6 times, each time with the next 24 angles t"
    pieces = -(-len(columns(parts(circuit)[0].gates, 6)) // 5)
    assert headings(lines) == [heading, *[f"{heading} (continued)"] * (pieces - 1)]


def headings(root):
    return [text.text for text in root.iter("text") if text.get("class") == "times"]


def test_a_circuit_without_gates_is_wires():
    empty = Circuit(2, 0, 0, ())
    assert circuit_text(empty).count("⟨Z⟩") == 2
    ET.fromstring(circuit_svg(empty, "c"))
