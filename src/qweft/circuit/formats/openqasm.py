"""OpenQASM 2, which most tools read, and OpenQASM 3, which can leave angles open."""

import ast
import math
import re
from collections.abc import Sequence
from dataclasses import replace

from qweft.circuit.description import Circuit, Gate, Source
from qweft.circuit.formats.common import Numbers, gate_lines, given_numbers, text_of
from qweft.circuit.gates import GATES
from qweft.core.errors import QweftError
from qweft.core.text import short_repr


def to_openqasm2(
    circuit: Circuit, inputs: Numbers | None = None, parameters: Numbers | None = None, measured: bool = True
) -> str:
    """Return the circuit of one token in OpenQASM 2.0, in the gates of qelib1.inc; arguments as in `to_openqasm3`.

    Both rows of numbers are needed. Every q[i] is measured into b[i].

    Source: Cross, Bishop, Smolin and Gambetta, "Open Quantum Assembly Language", arXiv 1707.03429.
    """
    gates = gate_lines("openqasm2", circuit, inputs, parameters, "OpenQASM 2")
    lines = ["OPENQASM 2.0;", 'include "qelib1.inc";', f"qreg q[{circuit.qubits}];"]
    lines += [f"creg b[{circuit.qubits}];"] if measured else []
    return text_of(circuit, [*lines, *gates, *(["measure q -> b;"] if measured else [])])


def to_openqasm3(
    circuit: Circuit, inputs: Numbers | None = None, parameters: Numbers | None = None, measured: bool = True
) -> str:
    """Return the circuit in OpenQASM 3.0, in the gates of stdgates.inc.

    Missing numbers become inputs of the program: c0, c1, ... for the circuit's inputs, t0, t1, ... for its trained
    angles. They have type float[64] because an angle is stored modulo 2 pi, while a CRZ has period 4 pi.

    Args:
        circuit: The circuit.
        inputs: (circuit.inputs,), in radians. `None` leaves them open.
        parameters: (circuit.parameters,), in radians. `None` leaves them open.
        measured: Whether qubits are measured at the end: those whose Z the circuit measures, or all of them.

    Raises:
        QweftError: If numbers do not fit the circuit, or are not finite.

    Source: the OpenQASM 3.0 specification, openqasm.com.
    """
    letters, every = circuit.observables or (), list(range(circuit.qubits))
    some = [row.index("Z") for row in letters if row.count("I") == circuit.qubits - 1 and "Z" in row]
    read = some if letters and len(some) == len(letters) else every
    lines = ["OPENQASM 3.0;", 'include "stdgates.inc";']
    sources = (("c", circuit.inputs, "the circuit's inputs"), ("t", circuit.parameters, "its trained angles"))
    for row, (letter, count, what) in zip(given_numbers(circuit, inputs, parameters), sources, strict=True):
        if row is None:
            lines.append(f"// {what}")
            lines += [f"input float[64] {letter}{index};" for index in range(count)]
    lines += [f"qubit[{circuit.qubits}] q;", *([f"bit[{len(read)}] b;"] if measured else [])]
    lines += gate_lines("openqasm3", circuit, inputs, parameters)
    if measured:
        single = [f"b[{bit}] = measure q[{qubit}];" for bit, qubit in enumerate(read)]
        lines += ["b = measure q;"] if read == every else single
    return text_of(circuit, lines)


ALIASES: dict[str, tuple[tuple[str, float | None], ...]] = {
    "cx": (("cnot", None),),
    "id": (),
    "p": (("rz", None),),
    "y": (("rz", math.pi), ("x", None)),
    "z": (("rz", math.pi),),
    "sdg": (("rz", -math.pi / 2),),
    "tdg": (("rz", -math.pi / 4),),
    "sx": (("rx", math.pi / 2),),
}
"""Gates of stdgates.inc in ours, up to a global phase, with their angles where these are fixed."""
Terms = dict[tuple[Source, int], float]
"""An angle as multiples of inputs and trained angles, and of one for its constant part."""
ONE: tuple[Source, int] = ("constant", 0)


def from_openqasm3(text: str) -> Circuit:
    """Return the circuit of an OpenQASM 3 program of plain gates; `to_openqasm3` writes such programs.

    Numbers that are declared as `input float[64]`, or `input angle`, are inputs where they are named c0, c1, ..., and
    trained angles elsewhere, in the order of their declarations. An angle is a number or a multiple of a name, or a
    sum of them, which becomes several gates. Measured qubits, in the order of their bits, are the outputs; without a
    measurement all are.

    Raises:
        QweftError: If a statement is none of these.
    """
    names: dict[str, Terms] = {"pi": {ONE: math.pi}, "tau": {ONE: math.tau}, "π": {ONE: math.pi}}
    inputs = parameters = qubits = 0
    registers: dict[str, range] = {}
    bits: dict[int, int] = {}  # the measured qubit of each bit
    gates: list[Gate] = []

    def wires(name: str) -> Sequence[int]:
        register, _, index = name.strip().partition("[")
        try:
            return [registers[register][int(index.rstrip("] "))]] if index else registers[register]
        except LookupError:
            raise QweftError(f"OpenQASM: there is no qubit {name.strip()}") from None

    plain = re.sub(r"//[^\n]*|/\*.*?\*/", "", text, flags=re.S)
    for statement in (" ".join(part.split()) for part in plain.split(";")):
        if not statement or re.match(r"OPENQASM\b|include\b|barrier\b|bit\b", statement):
            continue
        if found := re.fullmatch(r"input (?:float|angle)(?: ?\[\d+\])? (\w+)", statement):
            if number := re.fullmatch(r"c(\d+)", found[1]):
                names[found[1]], inputs = {("input", int(number[1])): 1.0}, max(inputs, int(number[1]) + 1)
            else:
                names[found[1]], parameters = {("parameter", parameters): 1.0}, parameters + 1
        elif found := re.fullmatch(r"qubit(?: ?\[(\d+)\])? (\w+)", statement):
            registers[found[2]] = range(qubits, qubits + int(found[1] or 1))
            qubits += int(found[1] or 1)
        elif found := re.fullmatch(r"(?:\w+(?: ?\[(\d+)\])? ?= ?)?measure (\w+(?: ?\[\d+\])?)", statement):
            first = len(bits) if found[1] is None else int(found[1])
            bits |= {first + place: qubit for place, qubit in enumerate(wires(found[2]))}
        elif found := re.fullmatch(r"(\w+) ?(?:\((.*)\))? ?((?:\w+ ?\[ ?\d+ ?\] ?,? ?)+)", statement):
            if bits:
                raise QweftError(f"OpenQASM: {statement!r} comes after a measurement")
            on = tuple(wire for name in found[3].split(",") for wire in wires(name))
            gates += _gates(found[1], found[2], on, names)
        else:
            raise QweftError(f"OpenQASM: {short_repr(statement)} is no gate, declaration or measurement that is read")
    measured = [bits[bit] for bit in sorted(bits)]
    circuit = Circuit(qubits, inputs, parameters, tuple(gates))
    plain_z = measured in ([], list(range(qubits)))
    return circuit if plain_z else replace(circuit, measured=tuple(f"Z{qubit}" for qubit in measured))


def _gates(name: str, angle: str | None, wires: tuple[int, ...], names: dict[str, Terms]) -> list[Gate]:
    """Return the gates of one statement."""
    made: list[Gate] = []
    for own, fixed in ALIASES.get(name, ((name, None),)):
        if own not in GATES:
            raise QweftError(f"OpenQASM: unknown gate {name!r}; known gates: {', '.join([*GATES, *ALIASES])}")
        if not GATES[own].has_angle:
            made.append(Gate(own, wires))
            continue
        terms = _terms(angle or "", names) if fixed is None else {ONE: fixed}
        constant = terms.pop(ONE, 0.0)
        made += [Gate(own, wires, source, index, scale) for (source, index), scale in terms.items()]
        made += [Gate(own, wires, scale=constant)] if constant or not terms else []
    return made


def _terms(text: str, names: dict[str, Terms]) -> Terms:
    """Return the terms of an angle."""

    def scaled(terms: Terms, factor: float) -> Terms:
        return {key: factor * value for key, value in terms.items()}

    def read(node: ast.AST) -> Terms:
        match node:
            case ast.Constant(value=int() | float() as value):
                return {ONE: float(value)}
            case ast.Name(id=name):
                if name not in names:
                    raise QweftError(f"OpenQASM: {name} is not declared")
                return dict(names[name])
            case ast.UnaryOp(op=ast.USub() | ast.UAdd() as sign, operand=operand):
                return scaled(read(operand), -1.0 if isinstance(sign, ast.USub) else 1.0)
            case ast.BinOp(left=one, op=operator, right=other):
                left, right = read(one), read(other)
                if isinstance(operator, ast.Add | ast.Sub):
                    right = scaled(right, -1.0 if isinstance(operator, ast.Sub) else 1.0)
                    return {key: left.get(key, 0.0) + right.get(key, 0.0) for key in {**left, **right}}
                if isinstance(operator, ast.Mult) and left.keys() <= {ONE}:
                    return scaled(right, left[ONE])
                if isinstance(operator, ast.Mult) and right.keys() <= {ONE}:
                    return scaled(left, right[ONE])
                if isinstance(operator, ast.Div) and right.keys() <= {ONE} and right[ONE]:
                    return scaled(left, 1 / right[ONE])
        raise QweftError(f"OpenQASM: {short_repr(text)} is not a number, a multiple of a name or a sum of them")

    try:
        return read(ast.parse(text.strip(), mode="eval").body)
    except SyntaxError as error:
        raise QweftError(f"OpenQASM: {short_repr(text)} is not an angle") from error
