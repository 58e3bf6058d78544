"""What turns each gate of an exported circuit: a number where it is known, a name where it is not."""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from qweft.circuit.description import Circuit
from qweft.circuit.diagram import angle

Numbers: TypeAlias = Sequence[float] | np.ndarray
"""One number for each entry, in radians."""
Gates: TypeAlias = Sequence[tuple[str, tuple[int, ...]]]
"""(name, wires) in the order in which they act; names of `qweft.circuit.description.GATES`, the control first."""


def gate_angles(circuit: Circuit, inputs: Numbers | None, parameters: Numbers | None) -> list[float | str]:
    """For each gate the number that turns it, or the name of what does: c0 an entry of the input, t0 a trained angle.

    Args:
        circuit: The circuit.
        inputs: (circuit.inputs,), or none to leave them open.
        parameters: (circuit.parameters,), or none.

    Raises:
        ValueError: If there are more or fewer numbers than the circuit takes, or one is not finite.
    """
    known = {
        "input": _numbers("inputs", inputs, circuit.inputs),
        "parameter": _numbers("parameters", parameters, circuit.parameters),
    }
    found: list[float | str] = []
    for gate in circuit.gates:
        numbers = known[gate.source]
        found.append(angle(gate) if numbers is None else numbers[gate.index])
    return found


def gates_of(circuit: Circuit) -> Gates:
    """Names and wires of the circuit's gates."""
    return [(gate.name, gate.wires) for gate in circuit.gates]


def open_names(circuit: Circuit, inputs: Numbers | None, parameters: Numbers | None) -> list[str]:
    """The names of everything that is left open, inputs first."""
    inputs_open = [f"c{i}" for i in range(circuit.inputs)] if inputs is None else []
    return inputs_open + ([f"t{i}" for i in range(circuit.parameters)] if parameters is None else [])


def _numbers(what: str, given: Numbers | None, count: int) -> list[float] | None:
    if given is None:
        return None
    numbers = np.asarray(given, dtype=np.float64)
    if numbers.shape != (count,) or not np.isfinite(numbers).all():
        raise ValueError(f"the circuit takes {count} finite numbers as {what}, got {numbers.shape}: {given}")
    return [float(number) for number in numbers]
