"""The compiled engine for tensors on a CPU, with tokens split over threads."""

import os
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import numpy as np
import torch

WORK_OF_A_THREAD = 2**19
"""Amplitudes times blocks below which a second thread costs more than it saves (about 0.1 ms)."""


@lru_cache(maxsize=1)
def available() -> bool:
    """Whether the kernels compile and run here; this tries one token, and warns once on failure."""
    try:
        one, none = torch.zeros(1, 1, device="cpu"), torch.zeros(0, 2, device="cpu")
        gradients_of(values_of(one, one, none, (True,)), one, one, none, (True,))
    except Exception as error:  # no Numba, one that does not fit NumPy or the processor, or no place for its cache
        warnings.warn(
            f"Numba cannot compile the circuit here ({type(error).__name__}: {error}); circuits run on PyTorch's own "
            "operations, which is several times slower",
            stacklevel=2,
        )
        return False
    return True


@lru_cache(maxsize=4)
def _pool(process: int, threads: int) -> ThreadPoolExecutor:  # threads do not survive a fork
    return ThreadPoolExecutor(threads, thread_name_prefix="qweft-circuit")


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


def _tables(inputs: torch.Tensor, rotations: torch.Tensor, diagonals: torch.Tensor) -> tuple[np.ndarray, ...]:
    """Return what the kernels read: tables of rotations, of diagonals, and of inputs (2, n, padded tokens)."""
    from qweft.circuit.vector import LANES

    tokens, n = inputs.shape
    half = np.zeros((n, -(-tokens // LANES) * LANES), _numbers(inputs).dtype)
    np.multiply(_numbers(inputs).T, 0.5, out=half[:, :tokens])
    return (
        table_of(rotations, 0.5),
        table_of(diagonals, 1),
        _cosines_and_sines(half, 1),
    )


def _shares(tokens: int, qubits: int, blocks: int) -> list[tuple[int, int]]:
    """Return parts of the tokens, one per thread, in whole vectors."""
    from qweft.circuit.vector import LANES

    work = (tokens << qubits) * blocks
    if work < WORK_OF_A_THREAD:
        return [(0, tokens)]
    threads = max(1, min(torch.get_num_threads(), work // WORK_OF_A_THREAD, -(-tokens // LANES)))
    step = max(LANES, -(-tokens // (threads * LANES)) * LANES)
    return [(start, min(start + step, tokens)) for start in range(0, max(tokens, 1), step)]


def _share_out(task: Callable[[int, int, int], None], shares: list[tuple[int, int]]) -> None:
    """Call task(share, start, stop) for every share, the first on this thread."""
    if len(shares) == 1:
        return task(0, *shares[0])
    pool = _pool(os.getpid(), torch.get_num_threads())
    others = [pool.submit(task, share, *shares[share]) for share in range(1, len(shares))]
    task(0, *shares[0])
    for other in others:
        other.result()


def values_of(
    inputs: torch.Tensor, rotations: torch.Tensor, diagonals: torch.Tensor, uploads: tuple[bool, ...]
) -> torch.Tensor:
    """Return expectations (tokens, n) without a graph."""
    from qweft.circuit import kernels

    tokens, n = inputs.shape
    rotation_table, diagonal_table, input_table = _tables(inputs, rotations, diagonals)
    values, flags = np.empty((tokens, n), input_table.dtype), flags_of(uploads)

    def some(_: int, start: int, stop: int) -> None:
        kernels.forward(values, n, flags, rotation_table, diagonal_table, input_table, start, stop)

    _share_out(some, _shares(tokens, n, len(uploads)))
    return torch.from_numpy(values)


def gradients_of(
    gradient: torch.Tensor,
    inputs: torch.Tensor,
    rotations: torch.Tensor,
    diagonals: torch.Tensor,
    uploads: tuple[bool, ...],
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return gradients to inputs (tokens, n), rotations (k + 1, n) and diagonals (k, 2^n)."""
    from qweft.circuit import kernels

    tokens, n = inputs.shape
    tables, flags = _tables(inputs, rotations, diagonals), flags_of(uploads)
    outer = np.ascontiguousarray(_numbers(gradient))
    shares = _shares(tokens, n, len(uploads))
    to_inputs = np.empty((tokens, n), outer.dtype)
    to_rotations = np.zeros((len(shares), rotations.numel()), outer.dtype)
    to_diagonals = np.zeros((len(shares), diagonals.numel()), outer.dtype)
    _share_out(
        lambda share, start, stop: kernels.backward(
            to_inputs, to_rotations[share], to_diagonals[share], outer, n, flags, *tables, start, stop
        ),
        shares,
    )
    return (
        torch.from_numpy(to_inputs),
        torch.from_numpy(to_rotations.sum(0)).view_as(rotations),
        torch.from_numpy(to_diagonals.sum(0)).view_as(diagonals),
    )
