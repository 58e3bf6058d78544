"""OpenQASM 2, which most tools read, and OpenQASM 3, which can leave angles open."""

import ast
import math
import re

from qweft.circuit.description import Circuit, Gate, Source
from qweft.circuit.formats.common import Format, Numbers, given_numbers, numbers_of_gates, text_of, texts_of_gates
from qweft.circuit.gates import GATES
from qweft.errors import QweftError
from qweft.text import shown


def to_openqasm2(
    circuit: Circuit,
    inputs: Numbers | None = None,
    parameters: Numbers | None = None,
    measured: bool = True,
    about: str = "",
) -> str:
    """Return the circuit of one token in OpenQASM 2.0, in the gates of qelib1.inc; arguments as in `to_openqasm3`.

    Both rows of numbers are needed. Every q[i] is measured into b[i].

    Source: Cross, Bishop, Smolin and Gambetta, "Open Quantum Assembly Language", arXiv 1707.03429.
    """
    angles = numbers_of_gates(circuit, inputs, parameters, "OpenQASM 2")
    lines = ["OPENQASM 2.0;", 'include "qelib1.inc";', f"qreg q[{circuit.qubits}];"]
    lines += [f"creg b[{circuit.qubits}];"] if measured else []
    lines += [GATES[gate.name].spelled("openqasm2", gate.wires, angle) for gate, angle in angles]
    return text_of(circuit, about, [*lines, "measure q -> b;"] if measured else lines)


def to_openqasm3(
    circuit: Circuit,
    inputs: Numbers | None = None,
    parameters: Numbers | None = None,
    measured: bool = True,
    about: str = "",
) -> str:
    """Return the circuit in OpenQASM 3.0, in the gates of stdgates.inc.

    Missing numbers become inputs of the program: c0, c1, ... for the circuit's inputs, t0, t1, ... for its trained
    angles. They have type float[64] because an angle is stored modulo 2 pi, while a CRZ has period 4 pi.

    Args:
        circuit: The circuit.
        inputs: (circuit.inputs,), in radians. `None` leaves them open.
        parameters: (circuit.parameters,), in radians. `None` leaves them open.
        measured: Whether qubits are measured at the end: those whose Z the circuit measures, or all of them.
        about: Origin of the circuit, as a line of the heading.

    Raises:
        QweftError: If numbers do not fit the circuit, or are not finite.

    Source: the OpenQASM 3.0 specification, openqasm.com.
    """
    rows = given_numbers(circuit, inputs, parameters)
    letters = circuit.observables or ()
    some = [row.index("Z") for row in letters if row.count("I") == circuit.qubits - 1 and "Z" in row]
    read = some if letters and len(some) == len(letters) else list(range(circuit.qubits))
    lines = ["OPENQASM 3.0;", 'include "stdgates.inc";']
    sources = (("c", circuit.inputs, "the circuit's inputs"), ("t", circuit.parameters, "its trained angles"))
    for row, (letter, count, what) in zip(rows, sources, strict=True):
        if row is None:
            lines.append(f"// {what}")
            lines += [f"input float[64] {letter}{index};" for index in range(count)]
    lines.append(f"qubit[{circuit.qubits}] q;")
    if measured:
        lines.append(f"bit[{len(read)}] b;")
    angles = texts_of_gates(circuit, *rows)
    lines += [GATES[gate.name].spelled("openqasm3", gate.wires, angle) for gate, angle in angles]
    if measured and read == list(range(circuit.qubits)):
        lines.append("b = measure q;")
    elif measured:
        lines += [f"b[{bit}] = measure q[{qubit}];" for bit, qubit in enumerate(read)]
    return text_of(circuit, about, lines)


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


def from_openqasm3(text: str) -> Circuit:
    """Return the circuit of an OpenQASM 3 program of plain gates; `to_openqasm3` writes such programs.

    Numbers that are declared as `input float[64]`, or `input angle`, are inputs where they are named c0, c1, ..., and
    trained angles elsewhere, in the order of their declarations. An angle is a number or a multiple of a name, or a
    sum of them, which becomes several gates. Measured qubits, in the order of their bits, are the outputs; without a
    measurement all are.

    Raises:
        QweftError: If a statement is none of these.
    """
    inputs: dict[str, int] = {}
    trained: dict[str, int] = {}
    registers: dict[str, tuple[int, int]] = {}
    bits: dict[int, int] = {}  # the measured qubit of each bit
    gates: list[Gate] = []
    qubits = 0

    def wire(name: str) -> list[int]:
        register, _, index = name.strip().partition("[")
        if register not in registers:
            raise QweftError(f"OpenQASM: there is no register {register!r}")
        first, size = registers[register]
        if not index:
            return list(range(first, first + size))
        number = int(index.rstrip("] ")) if index.rstrip("] ").isdecimal() else size
        if number >= size:
            raise QweftError(f"OpenQASM: {name.strip()} is outside of {register}[{size}]")
        return [first + number]

    plain = re.sub(r"//[^\n]*|/\*.*?\*/", "", text, flags=re.S)
    for statement in (" ".join(part.split()) for part in plain.split(";")):
        if not statement or re.match(r"OPENQASM\b|include\b|barrier\b|bit\b", statement):
            continue
        if found := re.fullmatch(r"input (?:float|angle)(?: ?\[\d+\])? (\w+)", statement):
            name = found[1]
            if number := re.fullmatch(r"c(\d+)", name):
                inputs[name] = int(number[1])
            else:
                trained[name] = len(trained)
        elif found := re.fullmatch(r"qubit(?: ?\[(\d+)\])? (\w+)", statement):
            registers[found[2]] = qubits, int(found[1] or 1)
            qubits += int(found[1] or 1)
        elif found := re.fullmatch(r"(?:\w+(?: ?\[(\d+)\])? ?= ?)?measure (\w+(?: ?\[\d+\])?)", statement):
            first = len(bits) if found[1] is None else int(found[1])
            bits |= {first + place: qubit for place, qubit in enumerate(wire(found[2]))}
        elif found := re.fullmatch(r"(\w+) ?(?:\((.*)\))? ?((?:\w+ ?\[ ?\d+ ?\] ?,? ?)+)", statement):
            if bits:
                raise QweftError(f"OpenQASM: {statement!r} comes after a measurement")
            wires = tuple(each for name in found[3].split(",") for each in wire(name))
            gates += _gates(found[1], found[2], wires, (inputs, trained))
        else:
            raise QweftError(f"OpenQASM: {shown(statement)} is no gate, declaration or measurement that is read")
    counts = [1 + max(numbers.values(), default=-1) for numbers in (inputs, trained)]
    parts = qubits, counts[0], counts[1], tuple(gates)
    measured = [bits[bit] for bit in sorted(bits)]
    plain_z = measured in ([], list(range(qubits)))
    return Circuit(*parts) if plain_z else Circuit(*parts, tuple(f"Z{qubit}" for qubit in measured))


def _gates(name: str, angle: str | None, wires: tuple[int, ...], names: tuple[dict[str, int], ...]) -> list[Gate]:
    """Return the gates of one statement."""
    made: list[Gate] = []
    for own, fixed in ALIASES.get(name, ((name, None),)):
        if own not in GATES:
            raise QweftError(f"OpenQASM: unknown gate {name!r}; known gates: {', '.join([*GATES, *ALIASES])}")
        if not GATES[own].has_angle:
            made.append(Gate(own, wires))
        elif fixed is not None:
            made.append(Gate(own, wires, scale=fixed))
        elif not angle:
            raise QweftError(f"OpenQASM: {name} needs an angle")
        else:
            constant, terms = _linear(angle, names)
            made += [Gate(own, wires, source, index, scale) for (source, index), scale in terms.items()]
            made += [Gate(own, wires, scale=constant)] if constant or not terms else []
    return made


Linear = tuple[float, dict[tuple[Source, int], float]]
"""A constant, and multiples of inputs and trained angles."""


def _linear(text: str, names: tuple[dict[str, int], ...]) -> Linear:
    """Return the constant and the multiples of an angle."""
    constants = {"pi": math.pi, "tau": math.tau, "π": math.pi}

    def scaled(angle: Linear, factor: float) -> Linear:
        return factor * angle[0], {key: factor * value for key, value in angle[1].items()}

    def read(node: ast.AST) -> Linear:
        if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
            return float(node.value), {}
        if isinstance(node, ast.Name):
            if node.id in constants:
                return constants[node.id], {}
            sources: tuple[Source, Source] = ("input", "parameter")
            for source, numbers in zip(sources, names, strict=True):
                if node.id in numbers:
                    return 0.0, {(source, numbers[node.id]): 1.0}
            raise QweftError(f"OpenQASM: {node.id} is not declared")
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
            return scaled(read(node.operand), -1.0 if isinstance(node.op, ast.USub) else 1.0)
        if isinstance(node, ast.BinOp):
            left, right = read(node.left), read(node.right)
            if isinstance(node.op, ast.Add | ast.Sub):
                constant, terms = scaled(right, -1.0 if isinstance(node.op, ast.Sub) else 1.0)
                keys = {**left[1], **terms}
                return left[0] + constant, {key: left[1].get(key, 0.0) + terms.get(key, 0.0) for key in keys}
            if isinstance(node.op, ast.Mult) and not (left[1] and right[1]):
                return scaled(left, right[0]) if left[1] else scaled(right, left[0])
            if isinstance(node.op, ast.Div) and not right[1] and right[0]:
                return scaled(left, 1 / right[0])
        raise QweftError(f"OpenQASM: {shown(text)} is not a number, a multiple of a name or a sum of them")

    try:
        return read(ast.parse(text.strip(), mode="eval").body)
    except SyntaxError as error:
        raise QweftError(f"OpenQASM: {shown(text)} is not an angle") from error


QASM2 = Format(to_openqasm2, "qasm")
QASM3 = Format(to_openqasm3, "qasm", can_stay_open=True)
