"""A float32 branch on one token of each row in one compiled call on a CPU without gradients, for generation."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch

from qweft.adapter.build import Prepared
from qweft.adapter.cores import FunctionCore, GatedFunctionCore
from qweft.adapter.functions import CircuitFunction
from qweft.circuit.cpu import compiled

MOST_MULTIPLICATIONS = 2**20
"""Multiplications by C and E up to which one thread here is as fast as PyTorch's two, for a branch without circuit."""


class FewTokens(NamedTuple):
    """The kernel, and what it reads of one branch."""

    add: Callable[..., None]
    most: int
    d_in: int
    d_out: int
    has_circuit: bool
    rest: tuple[float, int, int]  # what the kernel takes after s
    held: tuple[np.ndarray, np.ndarray]  # arrays that must outlive it


def add_to_few(y: torch.Tensor, x: torch.Tensor, built: Prepared, core: Any, scaling: float) -> torch.Tensor | None:
    """Return y + s E(core(C x)) by one compiled call, or `None` where another way is faster or needed."""
    if x.dim() < 3 or x.shape[-2] != 1:
        return None  # whole texts go one way, whatever the mode, so that their losses are equal bit for bit
    few = built.few
    if few is False or torch.is_grad_enabled() or built.session is None or x.dtype != torch.float32:
        return None
    if few is None:
        few = built.few = _few_tokens(built, core) or False
        if few is False:
            return None
    entries = x.numel()
    if not 0 < entries <= few.most or type(x) is not torch.Tensor or type(y) is not torch.Tensor:
        return None
    if x.shape[-1] != few.d_in or y.shape != (*x.shape[:-1], few.d_out):
        return None  # the ordinary way says what is wrong
    if x.requires_grad or y.requires_grad:
        return None
    if few.has_circuit and (core.measured_by is not None or core.observed_by is not None):
        return None
    if torch.is_autocast_enabled("cpu") or not (x.is_cpu and y.is_cpu and x.is_contiguous() and y.is_contiguous()):
        return None
    if y.dtype != torch.float32:
        if y.dtype.itemsize > 2:
            return None
        y = y.float()
    out = torch.empty_like(y)
    few.add(out.data_ptr(), y.data_ptr(), x.data_ptr(), entries // few.d_in, scaling, *few.rest)
    return out


def _few_tokens(built: Prepared, core: Any) -> FewTokens | None:
    """Return what the kernel reads, or `None` if it cannot run this branch."""
    tensors = (built.compress, built.expand, *built.angles)
    if any(t.dtype != torch.float32 or t.device.type != "cpu" for t in tensors) or not compiled.available():
        return None
    from qweft.adapter.few_kernel import add_branch  # here, since it needs Numba

    (r, d_in), (d_out, width) = built.compress.shape, built.expand.shape
    numbers = [built.compress.reshape(-1), built.expand.t().reshape(-1)]
    n, gain, tables = 0, 1.0, [np.zeros(0, np.float32)] * 3
    uploads: tuple[bool, ...] = ()
    most = MOST_MULTIPLICATIONS // (d_in * r + d_out * width)
    if isinstance(core, FunctionCore):
        function = core.function
        form = function.alternating if isinstance(function, CircuitFunction) else None
        if form is None:
            return None
        rotations, diagonals, *matrices = built.angles
        numbers += [matrix.reshape(-1) for matrix in matrices]
        uploads, n, gain = form.uploads, function.r, float(form.repeats)
        if isinstance(core, GatedFunctionCore):
            gain *= function.input_scale
        tables = [compiled.table_of(rotations, 0.5), *by_lanes(diagonals)]
        most = min(most, compiled.WORK_OF_A_THREAD // (len(uploads) << n))
    parts = [torch.cat([part.detach() for part in numbers]).numpy(), *tables]
    floats = np.concatenate(parts)
    ends = np.cumsum([part.size for part in parts])
    shape = d_in, d_out, r, n, width, core.kernel_form
    branch = np.array([*shape, *ends, floats.ctypes.data, *uploads], np.int64)
    rest = gain, branch.ctypes.data, branch.size
    return FewTokens(add_branch, most * d_in, d_in, d_out, bool(uploads), rest, (branch, floats))


def by_lanes(diagonals: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Return the diagonals' table, each diagonal padded to whole vectors, and the signs of the last qubits in lanes."""
    from qweft.circuit.cpu.vector import LANES  # here, since it needs Numba

    padded = torch.nn.functional.pad(diagonals.detach(), (0, max(0, LANES - diagonals.shape[1]))).reshape(-1)
    bits = np.arange(LANES.bit_length() - 1)[:, None]
    signs = np.float32(2 * ((np.arange(LANES) >> bits) & 1) - 1)
    return torch.cat([padded.cos(), padded.sin()]).numpy(), signs.reshape(-1)
