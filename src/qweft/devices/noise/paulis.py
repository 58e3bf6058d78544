"""Exact noisy simulation in the Pauli basis, with expectation values and probabilities."""

from collections.abc import Callable, Sequence
from functools import lru_cache, partial

import torch
from torch.utils.checkpoint import checkpoint

from qweft.circuit import Circuit
from qweft.circuit.engine import outputs_by_z
from qweft.circuit.precision import circuit_dtype, exact_products
from qweft.core.errors import QweftError
from qweft.devices.device import RefusedError
from qweft.devices.noise.model import MOST_QUBITS, Channel, NoiseModel
from qweft.devices.noise.native import NativeGate, Turn, native_gates

NUMBERS_AT_A_TIME = 2**17
"""State entries per block: 1 MiB in float64, so that a block stays in cache."""
ENTRIES_A_GATE = 20
"""Cost of one gate, as entries per row in a matrix product of equal duration."""

PLANES = {"x": (2, 3), "y": (3, 1), "z": (1, 2)}
"""Rotation by t about an axis: a' = cos(t) a - sin(t) b, b' = sin(t) a + cos(t) b, with I, X, Y, Z numbered 0 to 3."""

computed_again = partial(checkpoint, use_reentrant=False, preserve_rng_state=False)
"""Return a function's value without saving intermediates; a backward pass recomputes them."""

Angles = Sequence[torch.Tensor]
"""One tensor per gate: shape () if all tokens share the angle, else (tokens,)."""
Read = Callable[[torch.Tensor], torch.Tensor]


def simulate(
    qubits: int, gates: Sequence[NativeGate], angles: Angles, tokens: int, model: NoiseModel, read: Read
) -> torch.Tensor:
    """Simulate the noisy circuit for every token, block by block; a backward pass recomputes each block."""
    if qubits > MOST_QUBITS:
        raise RefusedError(
            f"the noisy simulator keeps 4^n numbers and takes at most {MOST_QUBITS} qubits, got {qubits}; lower the "
            "number of qubits"
        )
    like = angles[0] if angles else torch.zeros((), dtype=torch.float64)
    parts = _parts(qubits, gates, angles, tokens, model)
    size = max(1, NUMBERS_AT_A_TIME >> 2 * qubits)
    blocks = [slice(first, min(first + size, tokens)) for first in range(0, max(tokens, 1), size)]

    def run(block: slice) -> torch.Tensor:
        of_block = [angle[block] if angle.dim() else angle for angle in angles]
        state = _start(qubits, block.stop - block.start, like)
        for part in parts:
            state = part @ state if isinstance(part, torch.Tensor) else _evolve(state, part, of_block, model)
        return read(state)

    return torch.cat([computed_again(run, block) for block in blocks], 1)


def _parts(
    qubits: int, gates: Sequence[NativeGate], angles: Angles, tokens: int, model: NoiseModel
) -> list[torch.Tensor | list[NativeGate]]:
    """Group the gates into runs that all tokens share, a matrix each if that is cheaper, and runs that differ."""
    runs: list[list[NativeGate]] = [[]]  # even indices: shared by all tokens; odd: not
    latest = [0] * qubits  # index of the run with each wire's last gate
    for gate in gates:
        place = max(latest[wire] for wire in gate.wires)
        own = any(angles[number].dim() for turn in gate.turns for number, _ in turn.terms)
        place += place % 2 != own
        if place == len(runs):
            runs.append([])
        runs[place].append(gate)
        for wire in gate.wires:
            latest[wire] = place

    def is_matrix(place: int) -> bool:
        return place % 2 == 0 and tokens > 4**qubits and len(runs[place]) * ENTRIES_A_GATE > 4**qubits

    def matrix(run: list[NativeGate]) -> torch.Tensor:
        return _evolve(torch.eye(4**qubits, dtype=angles[0].dtype, device=angles[0].device), run, angles, model)

    return [computed_again(matrix, run) if is_matrix(place) else run for place, run in enumerate(runs)]


def _start(qubits: int, tokens: int, like: torch.Tensor) -> torch.Tensor:
    """Return |0...0> for every token, shape (4^n, tokens)."""
    state = torch.ones(1, dtype=like.dtype, device=like.device)
    zero = torch.tensor([1, 0, 0, 1], dtype=like.dtype, device=like.device)
    for _ in range(qubits):
        state = torch.kron(state, zero)
    return state[:, None].expand(-1, tokens)


def _evolve(state: torch.Tensor, gates: Sequence[NativeGate], angles: Angles, model: NoiseModel) -> torch.Tensor:
    for gate in gates:
        if gate.turns:
            state = _turned(state, gate.wires[0], gate.turns, angles, 1 - model.one_qubit)
        else:
            table = _controlled(state.shape[0], tuple(sorted(gate.wires)), model.two_qubit, model.channel)
            index, factors = (each.to(state.device) for each in table)
            state = state.index_select(0, index) * factors.to(state.dtype)[:, None]
    return state


def _turned(state: torch.Tensor, wire: int, turns: Sequence[Turn], angles: Angles, kept: float) -> torch.Tensor:
    """Apply rotations of one wire, then multiply its X, Y and Z by `kept`."""
    shape = (4**wire, 4, state.shape[0] // 4 ** (wire + 1), state.shape[1])
    rows = list(state.reshape(shape).unbind(1))
    for turn in turns:
        angle = torch.as_tensor(turn.constant, dtype=state.dtype, device=state.device)
        for place, factor in turn.terms:
            angle = angle + factor * angles[place]
        a, b = PLANES[turn.axis]
        cos, sin = angle.cos(), angle.sin()
        rows[a], rows[b] = cos * rows[a] - sin * rows[b], sin * rows[a] + cos * rows[b]
    if kept != 1:
        rows[1:] = [kept * row for row in rows[1:]]
    return torch.stack(rows, 1).reshape(state.shape)


@lru_cache(maxsize=256)
def _controlled(size: int, wires: tuple[int, ...], error: float, channel: Channel) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a noisy CZ as source indices and factors, (4^n,) each.

    An X or Y on one wire multiplies the other's factor by Z (I and Z swap, X and Y swap); X Y and Y X change sign.
    """
    index = torch.arange(size)
    qubits = (size.bit_length() - 1) // 2
    places = [4 ** (qubits - 1 - wire) for wire in wires]
    one, two = (index // place % 4 for place in places)
    flips, flips_too = ((factor == 1) | (factor == 2) for factor in (one, two))
    new_one, new_two = torch.where(flips_too, 3 - one, one), torch.where(flips, 3 - two, two)
    source = index + (new_one - one) * places[0] + (new_two - two) * places[1]
    signs = torch.where(flips & flips_too & (one != two), -1.0, 1.0).double()
    weights = (one > 0).double() + (two > 0).double()
    if channel == "pair":
        weights = weights.clamp(max=1)
    return source.int(), signs * (1 - error) ** weights


def read_probabilities(qubits: int, model: NoiseModel) -> Read:
    """Return a reader that maps states to the probabilities of reported outcomes, shape (2^n, tokens).

    Of each qubit p(0) = (1 + a)/2 <I> + b/2 <Z> and p(1) = (1 - a)/2 <I> - b/2 <Z>, see `NoiseModel.read_out`.
    """
    shift, factor = model.read_out()

    def read(state: torch.Tensor) -> torch.Tensor:
        tokens = state.shape[1]
        for wire in range(qubits):
            one, _, _, z = state.reshape(2**wire, 4, 4 ** (qubits - 1 - wire), tokens).unbind(1)
            half, part = one / 2, factor / 2 * z
            state = torch.stack([(1 + shift) * half + part, (1 - shift) * half - part], 1)
        return state.reshape(2**qubits, tokens)

    return read


def noisy_expectations(
    circuit: Circuit, inputs: torch.Tensor, parameters: torch.Tensor, model: NoiseModel
) -> torch.Tensor:
    """Compute `expectation_values` under the noise model, including readout errors, without shots.

    A product of Paulis is brought to Z of one qubit by gates, which have errors like the others.

    Raises:
        QweftError: If the circuit starts from amplitudes.
    """
    if circuit.amplitudes:
        raise QweftError("the circuit starts from amplitudes, which the noise model does not prepare")
    if circuit.measured not in ("Z", "probabilities"):
        return outputs_by_z(circuit, lambda each: noisy_expectations(each, inputs, parameters, model))
    with exact_products(inputs.device):
        dtype = circuit_dtype(inputs, parameters)
        data = inputs.to(dtype).reshape(-1, circuit.inputs).t().unbind()
        trained = parameters.to(dtype).unbind()
        entries = {"input": data, "parameter": trained, "constant": (parameters.new_ones((), dtype=dtype),)}
        angles = [gate.scale * entries[gate.source][gate.index] for gate in circuit.gates]
        gates = native_gates(tuple((gate.name, gate.wires) for gate in circuit.gates))
        read = read_probabilities(circuit.qubits, model)
        if circuit.measured == "Z":
            shift, factor = model.read_out()
            rows = [3 * 4 ** (circuit.qubits - 1 - wire) for wire in range(circuit.qubits)]
            read = lambda state: shift + factor * state[rows]  # noqa: E731
        values = simulate(circuit.qubits, gates, angles, inputs.shape[:-1].numel(), model, read)
        return values.t().reshape(*inputs.shape[:-1], circuit.outputs)
