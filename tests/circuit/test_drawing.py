"""The drawings hold every gate of the description, on its wires and in its order."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qweft.circuit import Circuit, Gate, crz_ring_ansatz
from qweft.circuit.draw.drawing import Part, circuit_text, columns, label, parts
from qweft.circuit.draw.picture import circuit_figure

BOX = re.compile(r"R[YZ]\([ct]\d+\)")
check = settings(max_examples=60, deadline=None)


@st.composite
def circuits(draw):
    """Random gates, sometimes repeated with angles of their own."""
    qubits = draw(st.integers(1, 5))
    gates = []
    for _ in range(draw(st.integers(1, 12))):
        source = draw(st.sampled_from(["input", "parameter"]))
        index = draw(st.integers(0, 30 if source == "parameter" else qubits - 1))
        two = qubits > 1 and draw(st.booleans())
        wires = draw(st.permutations(range(qubits)))[: 2 if two else 1]
        gates.append(Gate("crz" if two else "ry", tuple(wires), source, index))
    times, stride = draw(st.integers(1, 4)), draw(st.integers(0, 9))
    return Circuit(qubits, qubits, 200, Part(tuple(gates), times, stride).in_full)


def drawn_gates(circuit, wire):
    """What a drawing of the circuit holds on a wire, in its order."""
    gates = [gate for part in parts(circuit) for gate in part.gates if wire in gate.wires]
    return [label(gate) if gate.wires[-1] == wire else "●" for gate in gates]


@check
@given(circuits())
def test_parts_are_the_circuit(circuit):
    assert sum((part.in_full for part in parts(circuit)), ()) == circuit.gates


@pytest.mark.parametrize("reupload", [True, False])
@pytest.mark.parametrize(("qubits", "layers"), [(4, 3), (3, 5), (3, 1)])
def test_the_circuits_on_record_are_drawn_as_one_layer(qubits, layers, reupload):
    found = parts(crz_ring_ansatz(qubits, layers, reupload))
    assert [part.times for part in found] == ([layers] if reupload or layers == 1 else [1, layers])
    assert len(found[-1].gates) == (5 if reupload or layers == 1 else 4) * qubits
    assert found[-1].stride == (4 * qubits if layers > 1 else 0)


@check
@given(circuits())
def test_columns_keep_the_order_on_every_wire_and_nothing_lies_across_a_gate(circuit):
    found = columns(circuit.gates, circuit.qubits)
    for column in found:
        taken = [wire for gate in column for wire in range(min(gate.wires), max(gate.wires) + 1)]
        assert len(taken) == len(set(taken))
    for wire in range(circuit.qubits):
        placed = [gate for column in found for gate in column if wire in gate.wires]
        assert placed == [gate for gate in circuit.gates if wire in gate.wires]


@settings(max_examples=20, deadline=None)
@given(circuits(), st.sampled_from([300, 10**6]))
def test_the_picture_holds_every_gate_on_its_wires_in_its_order(circuit, width):
    (axes,) = circuit_figure(circuit, width).axes
    heights = [line.get_ydata()[0] for line in axes.lines if line.get_alpha()]
    boxes = [(*text.get_position(), text.get_text()) for text in axes.texts if text.get_bbox_patch()]
    dots = [(x, y, "●") for line in axes.lines if line.get_marker() == "o" for x, y in line.get_xydata()]
    for wire in range(circuit.qubits):
        found = sorted((heights.index(y), x, sign) for x, y, sign in boxes + dots)
        assert [sign for row, _, sign in found if row % circuit.qubits == wire] == drawn_gates(circuit, wire)


@check
@given(circuits())
def test_the_text_holds_every_gate_on_its_wires_in_its_order(circuit):
    rows = dict.fromkeys(range(circuit.qubits), "")
    for line in circuit_text(circuit, width=10**6).splitlines():
        if found := re.match(r"q(\d+)\s", line):
            rows[int(found[1])] += line
    for wire, row in rows.items():
        assert re.findall(r"●|R[YZ]\([ct]\d+\)", row) == drawn_gates(circuit, wire)


@pytest.mark.parametrize("width", [40, 60, 100])
def test_a_long_circuit_goes_on_below_and_loses_no_gate(width):
    circuit, heading = crz_ring_ansatz(6, 6), "6 times, each time with the next 24 angles t"
    text = circuit_text(circuit, width)
    assert max(len(line) for line in text.splitlines() if line.startswith("q")) <= width
    assert len(BOX.findall(text)) == 5 * 6 and text.startswith(heading)
    drawn = [text.get_text() for text in circuit_figure(circuit, 500).axes[0].texts]
    assert sum(map(bool, map(BOX.fullmatch, drawn))) == 5 * 6 and drawn.count(heading) == 1


def test_a_circuit_without_gates_is_wires():
    empty = Circuit(2, 0, 0, ())
    assert circuit_text(empty).count("⟨Z⟩") == 2
    assert circuit_figure(empty, 500).axes[0].texts
