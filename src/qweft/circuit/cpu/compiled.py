"""The compiled engine for tensors on a CPU, with tokens split over threads."""

import warnings
from functools import lru_cache

import numpy as np
import torch

from qweft.circuit.cpu.program import Program, Trained, program_of, program_of_blocks
from qweft.circuit.cpu.threads import share_out
from qweft.circuit.description import Circuit

WORK_OF_A_THREAD = 2**19
"""Amplitudes times blocks below which a second thread costs more than it saves (about 0.1 ms)."""
MOST_QUBITS = 12
"""Of any circuit: a state of 16 tokens and its gradient take 2 MiB then. The recorded form may have more."""


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


def _cosines_and_sines(angles: np.ndarray, factor: float) -> np.ndarray:
    scaled = angles * angles.dtype.type(factor) if factor != 1 else angles
    both = np.empty(2 * angles.size, angles.dtype)
    np.cos(scaled.ravel(), out=both[: angles.size])
    np.sin(scaled.ravel(), out=both[angles.size :])
    return both


def table_of(angles: torch.Tensor, factor: float) -> np.ndarray:
    """Return cosines and sines of trained angles, cached on the tensor: generation needs them for every token."""
    numbers = angles.detach().numpy()
    written = numbers.tobytes()  # no version counter sees every write
    kept: tuple[bytes, np.ndarray] | None = getattr(angles, "_cosines_and_sines", None)
    if kept is None or kept[0] != written:
        kept = (written, _cosines_and_sines(numbers, factor))
        angles._cosines_and_sines = kept  # type: ignore[attr-defined]
    return kept[1]


class _Call:
    """A program on inputs (tokens, inputs) in radians; `halves` and `phases` are tables as the kernels take them."""

    def __init__(self, program: Program, inputs: np.ndarray, halves: np.ndarray, phases: np.ndarray) -> None:
        from qweft.circuit.cpu.vector import LANES

        self.program, self.x, self.kind = program, inputs, inputs.dtype
        tokens, uploads, given = len(inputs), len(program.uploads), program.amplitudes
        table = np.zeros((2 * uploads + given, -(-tokens // LANES) * LANES), self.kind)
        half = table[uploads : 2 * uploads]
        np.multiply(inputs.T[program.wires], program.half_scales, out=half[:, :tokens])
        np.cos(half, out=table[:uploads])
        np.sin(half, out=half)
        if given:
            first = inputs[:, :given]
            self.norms = np.sqrt(np.maximum(np.square(first).sum(1, keepdims=True), np.finfo(self.kind).tiny))
            self.unit = first / self.norms
            table[2 * uploads :, :tokens] = self.unit.T
        self.tables = program.code, halves, phases, table.reshape(-1)
        self.shares = _shares_of(tokens, program.qubits, program.blocks)

    def values(self) -> torch.Tensor:
        """Return the outputs (tokens, outputs)."""
        from qweft.circuit.cpu import kernels

        values = np.empty((len(self.x), self.program.outputs), self.kind)
        share_out(lambda _, start, stop: kernels.forward(values, *self.tables, start, stop), self.shares)
        return torch.from_numpy(values)

    def gradients(self, gradient: torch.Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the gradients to the inputs (tokens, inputs), the angles (angles,) and the phases (diagonals 2^n,)."""
        from qweft.circuit.cpu import kernels

        outer, parts = np.ascontiguousarray(gradient.detach().numpy(), self.kind), len(self.shares)
        _, halves, phases, _ = self.tables
        uploads, given = len(self.program.uploads), self.program.amplitudes
        to_uploads = np.empty((len(self.x), uploads + given), self.kind)
        to_angles, to_phases = (
            np.empty((parts, halves.size // 2), self.kind),
            np.empty((parts, phases.size // 2), self.kind),
        )

        def some(part: int, start: int, stop: int) -> None:
            found = to_uploads, to_angles[part], to_phases[part]
            kernels.backward(found, outer, *self.tables, start, stop)

        share_out(some, self.shares)
        if self.program.is_plain and not given and uploads == self.x.shape[1]:
            to_inputs = to_uploads
        else:
            to_inputs = np.zeros_like(self.x)
            for column, (wire, scale) in enumerate(self.program.uploads):
                to_inputs[:, wire] += self.kind.type(scale) * to_uploads[:, column]
        if given:
            to_unit = to_uploads[:, uploads:]
            along = (self.unit * to_unit).sum(1, keepdims=True)
            to_inputs[:, :given] += (to_unit - along * self.unit) / self.norms
        if parts == 1:
            return to_inputs, to_angles[0], to_phases[0]
        return to_inputs, to_angles.sum(0), to_phases.sum(0)


def _blocks(inputs: torch.Tensor, rotations: torch.Tensor, diagonals: torch.Tensor, uploads: tuple[bool, ...]) -> _Call:
    x = inputs.detach().numpy()
    return _Call(
        program_of_blocks(inputs.shape[1], uploads, x.dtype), x, table_of(rotations, 0.5), table_of(diagonals, 1)
    )


def values_of(
    inputs: torch.Tensor, rotations: torch.Tensor, diagonals: torch.Tensor, uploads: tuple[bool, ...]
) -> torch.Tensor:
    """Return expectations (tokens, n) without a graph."""
    return _blocks(inputs, rotations, diagonals, uploads).values()


def gradients_of(
    gradient: torch.Tensor,
    inputs: torch.Tensor,
    rotations: torch.Tensor,
    diagonals: torch.Tensor,
    uploads: tuple[bool, ...],
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return gradients to inputs (tokens, n), rotations (k + 1, n) and diagonals (k, 2^n)."""
    found = _blocks(inputs, rotations, diagonals, uploads).gradients(gradient)
    to_inputs, to_rotations, to_diagonals = map(torch.from_numpy, found)
    return to_inputs, to_rotations.view_as(rotations), to_diagonals.view_as(diagonals)


def _whole(circuit: Circuit, inputs: torch.Tensor, parameters: torch.Tensor) -> tuple[_Call, Trained]:
    x = inputs.detach().numpy()
    program, trained = program_of(circuit, x.dtype)
    halves, phases = trained.parts(parameters.detach().numpy())
    return _Call(program, x, _cosines_and_sines(halves, 0.5), _cosines_and_sines(phases, 1)), trained


def values_at(circuit: Circuit, inputs: torch.Tensor, parameters: torch.Tensor) -> torch.Tensor:
    """Return what a circuit measures, (tokens, outputs), without a graph."""
    return _whole(circuit, inputs, parameters)[0].values()


def gradients_at(
    circuit: Circuit, gradient: torch.Tensor, inputs: torch.Tensor, parameters: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return gradients to the inputs (tokens, inputs) and the parameters."""
    call, trained = _whole(circuit, inputs, parameters)
    to_inputs, to_angles, to_phases = call.gradients(gradient)
    return torch.from_numpy(to_inputs), torch.from_numpy(trained.gradient(to_angles, to_phases))


def _shares_of(tokens: int, qubits: int, blocks: int) -> list[tuple[int, int]]:
    """Return parts of the tokens, one per thread, in whole vectors."""
    from qweft.circuit.cpu.vector import LANES

    work = (tokens << qubits) * blocks
    if work < WORK_OF_A_THREAD:
        return [(0, tokens)]
    threads = max(1, min(torch.get_num_threads(), work // WORK_OF_A_THREAD, -(-tokens // LANES)))
    step = max(LANES, -(-tokens // (threads * LANES)) * LANES)
    return [(start, min(start + step, tokens)) for start in range(0, max(tokens, 1), step)]
