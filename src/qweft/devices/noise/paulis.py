"""Exact noisy simulation in the Pauli basis, with expectation values and probabilities.

A state of n qubits is kept as the expectations of all 4^n products of I, X, Y and Z, numbered 0 to 3, with qubit 0 in
the most significant digit. In this basis

- a rotation mixes the two Paulis that differ from its axis,
- a CZ permutes the products and flips the sign of X Y and Y X,
- a depolarizing error multiplies the products by a factor.

So a noisy circuit is a chain of real linear maps, which PyTorch differentiates. States have shape (4^n, tokens).
"""

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

recompute_in_backward = partial(checkpoint, use_reentrant=False, preserve_rng_state=False)
"""Return a function's value without saving intermediates; a backward pass computes them again."""

Angles = Sequence[torch.Tensor]
"""One tensor per gate: shape () if all tokens share the angle, else (tokens,)."""
Read = Callable[[torch.Tensor], torch.Tensor]
"""Maps states (4^n, tokens) to what is read out, (outputs, tokens)."""


def simulate(
    qubits: int, gates: Sequence[NativeGate], angles: Angles, tokens: int, model: NoiseModel, read: Read
) -> torch.Tensor:
    """Simulate the noisy circuit for every token, block by block; a backward pass recomputes each block.

    Args:
        qubits: Number of qubits n.
        gates: Native gates in the order of execution.
        angles: An angle for each gate of the circuit before compilation, in radians.
        tokens: Number of tokens.
        model: The noise model.
        read: What is read out of a block's states.

    Returns:
        (outputs, tokens).

    Raises:
        RefusedError: There are more than `MOST_QUBITS` qubits.
    """
    if qubits > MOST_QUBITS:
        raise RefusedError(
            f"the noisy simulator keeps 4^n numbers and takes at most {MOST_QUBITS} qubits, got {qubits}; lower the "
            "number of qubits"
        )
    like = angles[0] if angles else torch.zeros((), dtype=torch.float64)
    parts = _build_parts(4**qubits, group_gates(qubits, gates, angles), angles, tokens, model)

    def simulate_block(block: slice) -> torch.Tensor:
        angles_of_block = [angle[block] if angle.dim() else angle for angle in angles]
        state = _initial_state(qubits, block.stop - block.start, like)
        for part in parts:
            if isinstance(part, torch.Tensor):
                state = part @ state
            else:
                state = _apply_gates(state, part, angles_of_block, model)
        return read(state)

    blocks = _blocks(tokens, max(1, NUMBERS_AT_A_TIME // 4**qubits))
    return torch.cat([recompute_in_backward(simulate_block, block) for block in blocks], 1)


def _blocks(tokens: int, size: int) -> list[slice]:
    """Return slices of at most `size` tokens; one, which is empty, without tokens."""
    starts = range(0, max(tokens, 1), size)
    return [slice(start, min(start + size, tokens)) for start in starts]


def group_gates(qubits: int, gates: Sequence[NativeGate], angles: Angles) -> list[list[NativeGate]]:
    """Group gates so that even groups have the same angles for all tokens, and odd groups an angle that differs.

    A gate joins the first group of its kind that is not before those of the latest gates on its wires: it commutes with
    gates on other wires.
    """
    groups: list[list[NativeGate]] = [[]]
    latest = [0] * qubits  # index of the group with each wire's last gate
    for gate in gates:
        index = max(latest[wire] for wire in gate.wires)
        if (index % 2 == 1) != _differs_by_token(gate, angles):
            index += 1
        if index == len(groups):
            groups.append([])
        groups[index].append(gate)
        for wire in gate.wires:
            latest[wire] = index
    return groups


def _differs_by_token(gate: NativeGate, angles: Angles) -> bool:
    """Whether an angle of the gate differs from token to token."""
    for turn in gate.turns:
        for index, _ in turn.terms:
            if angles[index].dim():
                return True
    return False


def _build_parts(
    size: int, groups: Sequence[list[NativeGate]], angles: Angles, tokens: int, model: NoiseModel
) -> list[torch.Tensor | list[NativeGate]]:
    """Return a matrix (4^n, 4^n) in place of each group that all tokens share, where one product is cheaper."""

    def build_matrix(group: list[NativeGate]) -> torch.Tensor:
        identity = torch.eye(size, dtype=angles[0].dtype, device=angles[0].device)
        return _apply_gates(identity, group, angles, model)

    parts: list[torch.Tensor | list[NativeGate]] = []
    for index, group in enumerate(groups):
        is_shared = index % 2 == 0
        if is_shared and tokens > size and len(group) * ENTRIES_A_GATE > size:
            parts.append(recompute_in_backward(build_matrix, group))
        else:
            parts.append(group)
    return parts


def _initial_state(qubits: int, tokens: int, like: torch.Tensor) -> torch.Tensor:
    """Return |0...0> for every token: on each qubit the expectations of I and Z are 1, those of X and Y 0."""
    state = torch.ones(1, dtype=like.dtype, device=like.device)
    zero = torch.tensor([1, 0, 0, 1], dtype=like.dtype, device=like.device)
    for _ in range(qubits):
        state = torch.kron(state, zero)
    return state[:, None].expand(-1, tokens)


def _apply_gates(state: torch.Tensor, gates: Sequence[NativeGate], angles: Angles, model: NoiseModel) -> torch.Tensor:
    """Apply gates, each with its error, to states or to the columns of a matrix."""
    for gate in gates:
        if gate.turns:
            state = _turn_wire(state, gate.wires[0], gate.turns, angles, 1 - model.one_qubit)
        else:
            wires = tuple(sorted(gate.wires))  # CZ is symmetric: both orders share a table
            sources, factors = noisy_cz_table(state.shape[0], wires, model.two_qubit, model.channel)
            permuted = state.index_select(0, sources.to(state.device))
            state = permuted * factors.to(state.device).to(state.dtype)[:, None]
    return state


def _turn_wire(state: torch.Tensor, wire: int, turns: Sequence[Turn], angles: Angles, kept: float) -> torch.Tensor:
    """Apply rotations of one wire, then multiply its X, Y and Z by `kept`."""
    shape = (4**wire, 4, state.shape[0] // 4 ** (wire + 1), state.shape[1])
    paulis = list(state.reshape(shape).unbind(1))  # I, X, Y and Z of the wire
    for turn in turns:
        angle = torch.as_tensor(turn.constant, dtype=state.dtype, device=state.device)
        for index, factor in turn.terms:
            angle = angle + factor * angles[index]
        cos = angle.cos()
        sin = angle.sin()
        first, second = PLANES[turn.axis]
        a = paulis[first]
        b = paulis[second]
        paulis[first] = cos * a - sin * b
        paulis[second] = sin * a + cos * b
    if kept != 1:
        paulis[1:] = [kept * pauli for pauli in paulis[1:]]
    return torch.stack(paulis, 1).reshape(state.shape)


@lru_cache(maxsize=256)
def noisy_cz_table(
    size: int, wires: tuple[int, ...], error: float, channel: Channel
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a CZ with its error on states of 4^n entries as source indices and factors, (4^n,) each.

    An X or Y on one wire multiplies the other's Pauli by Z: I and Z swap, X and Y swap. X Y and Y X change sign.
    """
    index = torch.arange(size)
    qubits = (size.bit_length() - 1) // 2
    stride_one, stride_two = (4 ** (qubits - 1 - wire) for wire in wires)
    one = index // stride_one % 4  # the Pauli on the first wire, 0 to 3
    two = index // stride_two % 4
    one_flips = (one == 1) | (one == 2)
    two_flips = (two == 1) | (two == 2)
    new_one = torch.where(two_flips, 3 - one, one)  # swaps I and Z, X and Y
    new_two = torch.where(one_flips, 3 - two, two)
    sources = index + (new_one - one) * stride_one + (new_two - two) * stride_two
    changes_sign = one_flips & two_flips & (one != two)
    signs = torch.where(changes_sign, -1.0, 1.0).double()
    errors = (one > 0).double() + (two > 0).double()  # how often 1 - p multiplies a product
    if channel == "pair":
        errors = errors.clamp(max=1)
    return sources.int(), signs * (1 - error) ** errors


def read_probabilities(qubits: int, model: NoiseModel) -> Read:
    """Return a reader that maps states to the probabilities of reported outcomes, shape (2^n, tokens).

    Of each qubit p(0) = (1 + a)/2 <I> + b/2 <Z> and p(1) = (1 - a)/2 <I> - b/2 <Z>, see `NoiseModel.readout_map`.
    """
    shift, factor = model.readout_map()

    def read(state: torch.Tensor) -> torch.Tensor:
        tokens = state.shape[1]
        for wire in range(qubits):
            # the wires before this one have two outcomes each by now, those after it four Paulis
            by_wire = state.reshape(2**wire, 4, 4 ** (qubits - 1 - wire), tokens)
            identity, _, _, z = by_wire.unbind(1)
            half = identity / 2
            signal = factor / 2 * z
            state = torch.stack([(1 + shift) * half + signal, (1 - shift) * half - signal], 1)
        return state.reshape(2**qubits, tokens)

    return read


def read_expectations(qubits: int, model: NoiseModel) -> Read:
    """Return a reader that maps states to the reported expectation of Z of each qubit, shape (n, tokens)."""
    shift, factor = model.readout_map()
    rows = [3 * 4 ** (qubits - 1 - wire) for wire in range(qubits)]  # Z on one wire, I on the others

    def read(state: torch.Tensor) -> torch.Tensor:
        return shift + factor * state[rows]

    return read


def noisy_expectations(
    circuit: Circuit, inputs: torch.Tensor, parameters: torch.Tensor, model: NoiseModel
) -> torch.Tensor:
    """Compute `expectation_values` under the noise model, including readout errors, without shots.

    A product of Paulis is brought to Z of one qubit by gates, which have errors like the others.

    Args:
        circuit: The circuit.
        inputs: (..., circuit.inputs), in radians.
        parameters: (circuit.parameters,), in radians.
        model: The noise model.

    Returns:
        (..., circuit.outputs), which can be differentiated.

    Raises:
        QweftError: If the circuit starts from amplitudes.
    """
    if circuit.amplitudes:
        raise QweftError("the circuit starts from amplitudes, which the noise model does not prepare")
    if circuit.measured not in ("Z", "probabilities"):
        return outputs_by_z(circuit, lambda z_circuit: noisy_expectations(z_circuit, inputs, parameters, model))
    with exact_products(inputs.device):
        angles = _angles_of(circuit, inputs, parameters)
        gates = native_gates(tuple((gate.name, gate.wires) for gate in circuit.gates))
        reader = read_expectations if circuit.measured == "Z" else read_probabilities
        read = reader(circuit.qubits, model)
        tokens = inputs.shape[:-1].numel()
        values = simulate(circuit.qubits, gates, angles, tokens, model, read)
        return values.t().reshape(*inputs.shape[:-1], circuit.outputs)


def _angles_of(circuit: Circuit, inputs: torch.Tensor, parameters: torch.Tensor) -> list[torch.Tensor]:
    """Return the angle of each gate: (tokens,) of an input, () of a trained or constant angle."""
    dtype = circuit_dtype(inputs, parameters)
    entries = {
        "input": inputs.to(dtype).reshape(-1, circuit.inputs).t().unbind(),
        "parameter": parameters.to(dtype).unbind(),
        "constant": (parameters.new_ones((), dtype=dtype),),
    }
    return [gate.scale * entries[gate.source][gate.index] for gate in circuit.gates]
