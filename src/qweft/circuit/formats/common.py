"""Shared by all formats: the heading of a text, its gates, and angles as numbers or names."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Union

from qweft.circuit.description import Circuit, Gate
from qweft.circuit.draw.drawing import angle
from qweft.circuit.gates import GATES
from qweft.core.errors import QweftError

if TYPE_CHECKING:
    import numpy as np
    import torch

Numbers = Union["torch.Tensor", "np.ndarray", Sequence[float]]
"""A row of angles in radians."""
Gates = Sequence[tuple[str, tuple[int, ...]]]
"""(name, wires) in the order in which they act; names as in `qweft.circuit.gates.GATES`, controls first."""


class Format(NamedTuple):
    """A text format of circuits."""

    write: Callable[..., str]  # of (circuit, inputs, parameters, measured), as `to_openqasm3`
    ending: str  # of a file's name, without the point


def text_of(circuit: Circuit, lines: Sequence[str]) -> str:
    """Return a program with comment lines before it."""
    if circuit.amplitudes:
        raise QweftError("the circuit starts from amplitudes, which text formats lack; take to_pennylane or to_qiskit")
    measured = circuit.measured if isinstance(circuit.measured, str) else ", ".join(circuit.measured)
    comments = [
        f"// A quantum circuit written by qweft. Qubits: {circuit.qubits}, gates: {len(circuit.gates)}.",
        f"// All qubits start in |0>; the outputs are {measured}. Angles are in radians.",
        "// q[0] is the most significant bit of the number of a basis state.",
    ]
    return "\n".join([*comments, *lines, ""])


def given_numbers(
    circuit: Circuit, inputs: Numbers | None, parameters: Numbers | None
) -> tuple["np.ndarray | None", "np.ndarray | None"]:
    """Return both rows in float64, finite and of the circuit's length, or `None` for a row that is not given."""
    return _row("inputs", inputs, circuit.inputs), _row("parameters", parameters, circuit.parameters)


def _row(name: str, values: Numbers | None, length: int) -> "np.ndarray | None":
    import numpy as np  # here, to keep the help fast

    if values is None:
        return np.zeros(0) if length == 0 else None
    if hasattr(values, "detach"):  # a tensor, told without PyTorch
        values = values.detach().double().cpu().numpy()
    row = np.asarray(values, np.float64)
    if row.shape != (length,):
        raise QweftError(
            f"{name} are of shape {row.shape}, and one circuit takes {length} numbers of shape ({length},)"
            + ("; give one token at a time" if row.ndim > 1 else "")
        )
    wrong = np.flatnonzero(~np.isfinite(row))
    if len(wrong):
        raise QweftError(f"{name}[{wrong[0]}] is {row[wrong[0]]}; an angle is a finite number")
    return row


def gate_lines(
    language: str, circuit: Circuit, inputs: Numbers | None, parameters: Numbers | None, closed: str = ""
) -> list[str]:
    """Return gates with angles as decimals or names (c0, t0); a language without parameters, `closed`, needs both."""
    rows = dict(zip(("inputs", "parameters"), given_numbers(circuit, inputs, parameters), strict=True))
    missing = [name for name, row in rows.items() if row is None]
    if missing and closed:
        raise QweftError(
            f"{closed} has no parameters, so it needs a number for every angle, and {' and '.join(missing)} were not "
            "given; give them (of a token: --tokens TEXT --token INDEX), or take OpenQASM 3"
        )
    sources: dict[str, Any] = {"input": rows["inputs"], "parameter": rows["parameters"], "constant": (1.0,)}
    lines = []
    for gate in circuit.gates:
        row = sources[gate.source]
        text = angle(gate) if row is None else number(gate.scale * row[gate.index])
        lines.append(GATES[gate.name].spelled(language, gate.wires, text))
    return lines


def bound(gate: Gate, inputs: Any, parameters: Any) -> Any:
    """Return the angle of a gate from both rows, of any library; leading axes stay."""
    if gate.source == "constant":
        return gate.scale
    entry = (inputs if gate.source == "input" else parameters)[..., gate.index]
    return entry if gate.scale == 1 else gate.scale * entry


def number(value: float) -> str:
    """Return the shortest decimal that reads as the same float64, always with a point, as OpenQASM 2 needs it."""
    import numpy as np

    return np.format_float_positional(value, trim="0")
