"""The compiled engine for tensors on a CPU, with tokens split over threads."""

import warnings
from functools import lru_cache

import numpy as np
import torch

from qweft.circuit.alternating import Alternating
from qweft.circuit.precision import constant
from qweft.circuit.threads import share_out
from qweft.errors import QweftError

WORK_OF_A_THREAD = 2**19
"""Amplitudes times blocks below which a second thread costs more than it saves (about 0.1 ms)."""


@lru_cache(maxsize=1)
def available() -> bool:
    """Whether the kernels compile and run here; this tries one token, and warns once on failure.

    Raises:
        QweftError: If a bound on time ends it. The next call tries again.
    """
    try:
        one, none = torch.zeros(1, 1, device="cpu"), torch.zeros(0, 2, device="cpu")
        gradients_of(values_of(one, one, none, (True,)), one, one, none, (True,))
    except QweftError:
        raise
    except Exception as error:  # no Numba, one that does not fit NumPy or the processor, or no place for its cache
        warnings.warn(
            f"Numba cannot compile the circuit here ({type(error).__name__}: {error}); circuits run on PyTorch's own "
            "operations, which is several times slower",
            stacklevel=2,
        )
        return False
    return True


@lru_cache(maxsize=64)
def flags_of(uploads: tuple[bool, ...]) -> np.ndarray:
    """Return the uploads as an array that the kernels read."""
    return np.array(uploads)


def _numbers(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().numpy()


def _cosines_and_sines(angles: np.ndarray, factor: float) -> np.ndarray:
    scaled = angles * angles.dtype.type(factor) if factor != 1 else angles
    both = np.empty(2 * angles.size, angles.dtype)
    np.cos(scaled.ravel(), out=both[: angles.size])
    np.sin(scaled.ravel(), out=both[angles.size :])
    return both


def table_of(angles: torch.Tensor, factor: float) -> np.ndarray:
    """Return cosines and sines of trained angles, cached on the tensor: generation needs them for every token."""
    numbers = _numbers(angles)
    written = numbers.tobytes()  # no version counter sees every write
    kept: tuple[bytes, np.ndarray] | None = getattr(angles, "_cosines_and_sines", None)
    if kept is None or kept[0] != written:
        kept = (written, _cosines_and_sines(numbers, factor))
        angles._cosines_and_sines = kept  # type: ignore[attr-defined]
    return kept[1]


def inputs_table(inputs: np.ndarray) -> np.ndarray:
    """Return cosines and sines of half the inputs, (2, n, padded tokens), for inputs (tokens, n)."""
    from qweft.circuit.vector import LANES

    tokens, n = inputs.shape
    half = np.zeros((n, -(-tokens // LANES) * LANES), inputs.dtype)
    np.multiply(inputs.T, 0.5, out=half[:, :tokens])
    return _cosines_and_sines(half, 1)


def shares_of(tokens: int, qubits: int, blocks: int) -> list[tuple[int, int]]:
    """Return parts of the tokens, one per thread, in whole vectors."""
    from qweft.circuit.vector import LANES

    work = (tokens << qubits) * blocks
    if work < WORK_OF_A_THREAD:
        return [(0, tokens)]
    threads = max(1, min(torch.get_num_threads(), work // WORK_OF_A_THREAD, -(-tokens // LANES)))
    step = max(LANES, -(-tokens // (threads * LANES)) * LANES)
    return [(start, min(start + step, tokens)) for start in range(0, max(tokens, 1), step)]


def _values(inputs: np.ndarray, tables: tuple[np.ndarray, np.ndarray], uploads: tuple[bool, ...]) -> np.ndarray:
    """Return expectations (tokens, n), given the tables of rotations and diagonals."""
    from qweft.circuit import kernels

    tokens, n = inputs.shape
    of_inputs, values, flags = inputs_table(inputs), np.empty((tokens, n), inputs.dtype), flags_of(uploads)

    def some(_: int, start: int, stop: int) -> None:
        kernels.forward(values, n, flags, *tables, of_inputs, start, stop)

    share_out(some, shares_of(tokens, n, len(uploads)))
    return values


def _gradients(
    gradient: np.ndarray, inputs: np.ndarray, tables: tuple[np.ndarray, np.ndarray], uploads: tuple[bool, ...]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return gradients to inputs (tokens, n), and to all rotations and diagonals in a row each."""
    from qweft.circuit import kernels

    tokens, n = inputs.shape
    of_inputs, flags = inputs_table(inputs), flags_of(uploads)
    outer = np.ascontiguousarray(gradient)
    shares = shares_of(tokens, n, len(uploads))
    to_inputs = np.empty((tokens, n), outer.dtype)
    to_rotations = np.zeros((len(shares), tables[0].size // 2), outer.dtype)
    to_diagonals = np.zeros((len(shares), tables[1].size // 2), outer.dtype)
    share_out(
        lambda share, start, stop: kernels.backward(
            to_inputs, to_rotations[share], to_diagonals[share], outer, n, flags, *tables, of_inputs, start, stop
        ),
        shares,
    )
    return to_inputs, to_rotations.sum(0), to_diagonals.sum(0)


def values_of(
    inputs: torch.Tensor, rotations: torch.Tensor, diagonals: torch.Tensor, uploads: tuple[bool, ...]
) -> torch.Tensor:
    """Return expectations (tokens, n) without a graph."""
    tables = table_of(rotations, 0.5), table_of(diagonals, 1)
    return torch.from_numpy(_values(_numbers(inputs), tables, uploads))


def gradients_of(
    gradient: torch.Tensor,
    inputs: torch.Tensor,
    rotations: torch.Tensor,
    diagonals: torch.Tensor,
    uploads: tuple[bool, ...],
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return gradients to inputs (tokens, n), rotations (k + 1, n) and diagonals (k, 2^n)."""
    tables = table_of(rotations, 0.5), table_of(diagonals, 1)
    to_inputs, *found = map(torch.from_numpy, _gradients(_numbers(gradient), _numbers(inputs), tables, uploads))
    return to_inputs, found[0].view_as(rotations), found[1].view_as(diagonals)


def _at(
    form: Alternating, inputs: torch.Tensor, parameters: torch.Tensor
) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray], np.ndarray, np.ndarray]:
    """Return what an upload adds (tokens, n), both tables, and the form's two matrices."""
    selection, phases = (_numbers(constant(matrix, parameters)) for matrix in (form.selection, form.pair_phases))
    chosen = selection @ _numbers(parameters)
    count = len(form.uploads) * form.qubits
    turns = chosen[count:].reshape(form.diagonals, len(phases)) @ phases
    flat = _numbers(inputs).reshape(-1, inputs.shape[-1])
    if form.repeats != 1 or form.wires != tuple(range(flat.shape[1])):
        flat = flat[:, form.wires] * flat.dtype.type(form.repeats)
    return flat, (_cosines_and_sines(chosen[:count], 0.5), _cosines_and_sines(turns, 1)), selection, phases


def values_at(form: Alternating, inputs: torch.Tensor, parameters: torch.Tensor) -> torch.Tensor:
    """Return expectations (..., n) of a circuit from inputs (..., inputs) and parameters, without a graph."""
    flat, tables, _, _ = _at(form, inputs, parameters)
    return torch.from_numpy(_values(flat, tables, form.uploads)).view(*inputs.shape[:-1], form.qubits)


def gradients_at(
    form: Alternating, gradient: torch.Tensor, inputs: torch.Tensor, parameters: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return gradients to the inputs (..., inputs) and the parameters."""
    flat, tables, selection, phases = _at(form, inputs, parameters)
    outer = _numbers(gradient).reshape(-1, form.qubits)
    to_uploads, to_rotations, to_diagonals = _gradients(outer, flat, tables, form.uploads)
    to_pairs = to_diagonals.reshape(form.diagonals, phases.shape[1]) @ phases.T
    to_parameters = np.concatenate([to_rotations, to_pairs.ravel()]) @ selection
    to_inputs = to_uploads
    if to_inputs.shape[1] != inputs.shape[-1] or form.repeats != 1 or form.wires != tuple(range(form.qubits)):
        to_inputs = np.zeros((len(flat), inputs.shape[-1]), flat.dtype)
        for qubit, wire in enumerate(form.wires):
            to_inputs[:, wire] += form.repeats * to_uploads[:, qubit]
    return torch.from_numpy(to_inputs).view(inputs.shape), torch.from_numpy(to_parameters)
