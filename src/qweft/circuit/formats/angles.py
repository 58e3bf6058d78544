"""The angles of a circuit's gates: numbers where they are given, names where not."""

import sys
from collections.abc import Sequence

import numpy as np
import torch

from qweft.circuit.description import Circuit
from qweft.circuit.diagram import angle
from qweft.errors import QweftError

Numbers = torch.Tensor | np.ndarray | Sequence[float]
"""A row of angles in radians."""
Gates = Sequence[tuple[str, tuple[int, ...]]]
"""(name, wires) in the order in which they act; names of `qweft.circuit.gates.GATES`, the control first."""


def given_numbers(
    circuit: Circuit, inputs: Numbers | None, parameters: Numbers | None
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Both rows in float64, or none where a row is not given; a row of length zero counts as given.

    Raises:
        QweftError: If a row has not the length that the circuit takes, or an entry is no finite number.
    """
    return _row("inputs", inputs, circuit.inputs), _row("parameters", parameters, circuit.parameters)


def numbers_of_gates(circuit: Circuit, inputs: Numbers | None, parameters: Numbers | None, language: str) -> list[str]:
    """Every gate's angle written out, for a language that knows no parameters.

    Args:
        circuit: The circuit.
        inputs: (circuit.inputs,), in radians.
        parameters: (circuit.parameters,), in radians.
        language: Names it in the error.

    Raises:
        QweftError: If a row is missing that the circuit needs, or does not fit.
    """
    rows = dict(zip(("inputs", "parameters"), given_numbers(circuit, inputs, parameters), strict=True))
    missing = [name for name, row in rows.items() if row is None]
    if missing:
        raise QweftError(
            f"{language} has no parameters, so it needs a number for every angle, and {' and '.join(missing)} were not "
            "given; give them, or take OpenQASM 3"
        )
    return texts_of_gates(circuit, rows["inputs"], rows["parameters"])


def texts_of_gates(circuit: Circuit, inputs: np.ndarray | None, parameters: np.ndarray | None) -> list[str]:
    """For every gate its number, or the name (c0 or t0) of what feeds its angle where there is no number."""
    found = []
    for gate in circuit.gates:
        row = inputs if gate.source == "input" else parameters
        found.append(angle(gate) if row is None else number(row[gate.index]))
    return found


def number(value: float) -> str:
    """The shortest decimal that reads back as the same float64, always with a point.

    OpenQASM 2's grammar knows no number with an exponent and without a point: 1e-17 is written 1.0e-17. A number too
    small for full precision (below 2.3e-308) is written as zero, since pyqpanda3 refuses it.
    """
    value = 0.0 if abs(value) < sys.float_info.min else float(value)
    digits, e, exponent = repr(value).partition("e")
    return (digits if "." in digits else f"{digits}.0") + e + exponent


def _row(name: str, values: Numbers | None, length: int) -> np.ndarray | None:
    """The values in float64, their length and every entry checked."""
    if values is None:
        return np.zeros(0) if length == 0 else None
    if isinstance(values, torch.Tensor):
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
