"""The circuit's expectations in one Triton kernel each way: tiles (2^n, BLOCK) of tokens stay in registers throughout.

With one warp the compiler spreads a tile over lanes from its last dimension on: tokens, then last qubits. A rotation
of a first qubit pairs registers, one of a last qubit costs a shuffle, and no amplitude goes through shared memory.
"""

from contextlib import nullcontext
from functools import lru_cache
from typing import NamedTuple

import torch
import triton
import triton.language as tl


class Tile(NamedTuple):
    """How tokens are split over programs."""

    tokens: int  # BLOCK, in a tile
    warps: int  # per program
    programs: int  # backward, per multiprocessor: as many as its registers hold


TILES = {
    **{qubits: Tile(32, 1, 16) for qubits in (1, 2, 3)},
    **{qubits: Tile(2 ** (8 - qubits), 1, 16) for qubits in (4, 5)},
    **{qubits: Tile(2 ** (9 - qubits), 1, 8) for qubits in (6, 7, 8, 9)},
    **{qubits: Tile(1, 2 ** (qubits - 10), 8 // 2 ** (qubits - 10)) for qubits in (10, 11, 12)},
}
"""Tiles by number of qubits, for float32: up to 8 amplitudes per thread, then 16, then 32.

The backward pass holds 4 numbers for each amplitude, state and gradient: 32, 64 or 128 of the 255 registers of a
thread. More amplitudes per thread mean fewer shuffles, but fewer warps if tokens are few. From 11 qubits on a token
takes more than one warp, and the qubits between them go through shared memory.
"""

PARTIAL_BYTES = 2**26
"""Bytes for the backward pass's partial sums, about an H100's L2 cache; at least one row per multiprocessor."""


def tile_for(qubits: int, dtype: torch.dtype) -> Tile:
    """Return the tile, halved for float64, whose numbers take two registers: fewer tokens, or more warps per token."""
    tile = TILES[qubits]
    if dtype != torch.float64:
        return tile
    if tile.tokens > 1:
        return tile._replace(tokens=tile.tokens // 2)
    return tile._replace(warps=2 * tile.warps, programs=max(1, tile.programs // 2))


@triton.jit
def _lean(q: tl.constexpr, n: tl.constexpr) -> tl.tensor:
    """Return (2^n, 1) integers: -1 where the bit of qubit q is 0, +1 where it is 1."""
    return (2 * ((tl.arange(0, 2**n) >> (n - 1 - q)) & 1) - 1)[:, None]


@triton.jit
def _partner(amplitudes: tl.tensor, q: tl.constexpr, n: tl.constexpr, BLOCK: tl.constexpr) -> tl.tensor:
    """Return (2^n, BLOCK): for each amplitude the one whose basis state differs in qubit q."""
    # sum of both minus itself, exact on bits as integers; the compiler makes it a renaming of registers, or a shuffle
    if amplitudes.dtype == tl.float64:
        bits = tl.reshape(amplitudes.to(tl.int64, bitcast=True), (2**q, 2, 2 ** (n - 1 - q), BLOCK))
        other = tl.sum(bits, axis=1, keep_dims=True) - bits
    else:
        bits = tl.reshape(amplitudes.to(tl.int32, bitcast=True), (2**q, 2, 2 ** (n - 1 - q), BLOCK))
        other = tl.sum(bits, axis=1, keep_dims=True) - bits
        other = other.to(tl.int64).to(tl.int32)  # for the interpreter, where NumPy turns a sum of int32 into int64
    return tl.reshape(other, (2**n, BLOCK)).to(amplitudes.dtype, bitcast=True)


@triton.jit
def _half_turns(inputs: tl.tensor, token: tl.tensor, tokens: tl.tensor, n: tl.constexpr) -> tuple[tl.tuple, tl.tuple]:
    """Return cosines and sines (BLOCK,) of half the inputs of each qubit; once per tile, since they are expensive."""
    cosines = ()  # grown by addition, because Triton does not unpack
    sines = ()
    for q in tl.static_range(n):
        half = tl.load(inputs + token * n + q, mask=token < tokens, other=0.0) * 0.5
        cosines = cosines + (tl.cos(half),)  # type: ignore[assignment]  # noqa: RUF005
        sines = sines + (tl.sin(half),)  # type: ignore[assignment]  # noqa: RUF005
    return cosines, sines


@triton.jit
def _half_angle(
    table: tl.tensor, place: tl.tensor, upload: tl.tensor, cosine: tl.tensor, sine: tl.tensor
) -> tuple[tl.tensor, tl.tensor]:
    """Return (1, BLOCK) cosine and sine of half a rotation's angle: the trained part, plus the input if uploaded."""
    trained_cosine = tl.load(table + 2 * place)
    trained_sine = tl.load(table + 2 * place + 1)
    cosine = tl.where(upload, cosine, 1.0)[None, :]
    sine = tl.where(upload, sine, 0.0)[None, :]
    return trained_cosine * cosine - trained_sine * sine, trained_sine * cosine + trained_cosine * sine


@triton.jit
def _phases(table: tl.tensor, place: tl.tensor, n: tl.constexpr, BLOCK: tl.constexpr) -> tuple[tl.tensor, tl.tensor]:
    """Return (2^n, BLOCK) cosines and sines of a diagonal."""
    # broadcast first, with a stride of two: a load of 2^n neighbours would put the tokens of a tile in one thread
    place = table + 2 * (place + tl.broadcast_to(tl.arange(0, 2**n)[:, None], (2**n, BLOCK)))
    return tl.load(place), tl.load(place + 1)


@triton.jit
def _final_state(
    table: tl.tensor,
    uploads: tl.tensor,
    layers: tl.tensor,
    cosines: tl.tuple,
    sines: tl.tuple,
    n: tl.constexpr,
    BLOCK: tl.constexpr,
) -> tuple[tl.tensor, tl.tensor]:
    """Return R_k D_k ... D_1 R_0 |0...0>: real and imaginary parts, each (2^n, BLOCK)."""
    upload = tl.load(uploads) != 0
    real = tl.full((2**n, BLOCK), 1.0, table.dtype.element_ty)
    for q in tl.static_range(n):  # the first block gives a product of single-qubit states
        cosine, sine = _half_angle(table, q, upload, cosines[q], sines[q])
        real *= tl.where(_lean(q, n) > 0, sine, cosine)
    imaginary = tl.zeros_like(real)
    for layer in range(layers):
        turn_real, turn_imaginary = _phases(table, (layers + 1) * n + layer * 2**n, n, BLOCK)
        real, imaginary = real * turn_real - imaginary * turn_imaginary, real * turn_imaginary + imaginary * turn_real
        upload = tl.load(uploads + layer + 1) != 0
        for q in tl.static_range(n):
            cosine, sine = _half_angle(table, (layer + 1) * n + q, upload, cosines[q], sines[q])
            leaning = _lean(q, n) * sine
            real = cosine * real + leaning * _partner(real, q, n, BLOCK)
            imaginary = cosine * imaginary + leaning * _partner(imaginary, q, n, BLOCK)
    return real, imaginary


@triton.jit
def _accumulate(sums: tl.tensor, amount: tl.tensor, index: tl.tensor, size: tl.tensor, again: tl.tensor) -> None:
    """Add to the first `size` partial sums; the first tile sets them, so they need not be filled with zeros."""
    before = tl.load(sums + index, mask=index < tl.where(again, size, 0), other=0.0)
    tl.store(sums + index, before + amount, mask=index < size)


# Numbers and addresses are not specialized (on being 1, or multiples of 16): that gains nothing here, and each first
# meeting of such a number would cost seconds of compilation.
@triton.jit(
    do_not_specialize=["tokens", "layers", "tiles"],
    do_not_specialize_on_alignment=["inputs", "table", "uploads", "values"],
)
def forward_kernel(
    inputs: tl.tensor,
    table: tl.tensor,
    uploads: tl.tensor,
    values: tl.tensor,
    tokens: tl.tensor,
    layers: tl.tensor,
    tiles: tl.tensor,
    n: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """Compute values (tokens, n) of inputs (tokens, n); layers is k, uploads (k + 1,) int32 1 where inputs enter."""
    # table ((k + 1) n + k 2^n, 2): cosine and sine of half rotations, then of phases; ceil(tokens / BLOCK) tiles
    for tile in range(tl.program_id(0), tiles, tl.num_programs(0)):
        token = tile * BLOCK + tl.arange(0, BLOCK)
        cosines, sines = _half_turns(inputs, token, tokens, n)
        real, imaginary = _final_state(table, uploads, layers, cosines, sines, n, BLOCK)
        probabilities = real * real + imaginary * imaginary
        for q in tl.static_range(n):
            value = tl.sum(-_lean(q, n) * probabilities, axis=0)
            tl.store(values + token * n + q, value, mask=token < tokens)


@triton.jit(
    do_not_specialize=["tokens", "layers", "tiles"],
    do_not_specialize_on_alignment=["inputs", "table", "uploads", "weights", "to_inputs", "partial"],
)
def backward_kernel(
    inputs: tl.tensor,
    table: tl.tensor,
    uploads: tl.tensor,
    weights: tl.tensor,
    to_inputs: tl.tensor,
    partial: tl.tensor,
    tokens: tl.tensor,
    layers: tl.tensor,
    tiles: tl.tensor,
    n: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """Compute gradients: recompute the state, then take it and its gradient G = 2 (sum_q w_q Z_q) psi back."""
    # Rotation: 1/2 Re <G| -iY psi> = 1/2 sum_d lean_d Re(conj(G_d) psi_partner(d)), phase: Im G Re psi - Re G Im psi.
    # weights w and to_inputs are (tokens, n), partial (programs, (k + 1) n + k 2^n): sums over its tokens, as in the
    # table. ROWS is the smallest power of two of at least n; there are at most as many programs as tiles.
    state = tl.arange(0, 2**n)
    row = tl.arange(0, ROWS)
    first = tl.program_id(0)
    partial += first.to(tl.int64) * ((layers + 1) * n + layers * 2**n)
    for tile in range(first, tiles, tl.num_programs(0)):
        again = tile != first
        token = tile * BLOCK + tl.arange(0, BLOCK)
        cosines, sines = _half_turns(inputs, token, tokens, n)
        real, imaginary = _final_state(table, uploads, layers, cosines, sines, n, BLOCK)
        slope = tl.zeros_like(real)
        for q in tl.static_range(n):  # tokens past the end have weight 0, so they add nothing to any sum
            weight = tl.load(weights + token * n + q, mask=token < tokens, other=0.0)
            slope -= _lean(q, n) * (2 * weight)[None, :]
        slope_real = slope * real
        slope_imaginary = slope * imaginary
        to_input = tl.zeros((ROWS, BLOCK), real.dtype)
        for step in range(layers):
            layer = layers - 1 - step
            upload = tl.load(uploads + layer + 1) != 0
            to_block = tl.zeros((ROWS, BLOCK), real.dtype)
            for q in tl.static_range(n):
                cosine, sine = _half_angle(table, (layer + 1) * n + q, upload, cosines[q], sines[q])
                leaning = _lean(q, n) * sine
                partner_real = _partner(real, q, n, BLOCK)
                partner_imaginary = _partner(imaginary, q, n, BLOCK)
                overlap = slope_real * partner_real + slope_imaginary * partner_imaginary
                overlap = tl.sum(_lean(q, n) * overlap, axis=0)[None, :]
                to_block += tl.where(row[:, None] == q, 0.5 * overlap, 0.0)
                real = cosine * real - leaning * partner_real
                imaginary = cosine * imaginary - leaning * partner_imaginary
                slope_real = cosine * slope_real - leaning * _partner(slope_real, q, n, BLOCK)
                slope_imaginary = cosine * slope_imaginary - leaning * _partner(slope_imaginary, q, n, BLOCK)
            to_input += tl.where(upload, to_block, 0.0)
            _accumulate(partial + (layer + 1) * n, tl.sum(to_block, axis=1), row, n, again)
            place = (layers + 1) * n + layer * 2**n
            to_phases = tl.sum(slope_imaginary * real - slope_real * imaginary, axis=1)
            _accumulate(partial + place, to_phases, state, 2**n, again)
            turn_real, turn_imaginary = _phases(table, place, n, BLOCK)
            real, imaginary = (
                real * turn_real + imaginary * turn_imaginary,
                imaginary * turn_real - real * turn_imaginary,
            )
            slope_real, slope_imaginary = (
                slope_real * turn_real + slope_imaginary * turn_imaginary,
                slope_imaginary * turn_real - slope_real * turn_imaginary,
            )
        to_block = tl.zeros((ROWS, BLOCK), real.dtype)
        for q in tl.static_range(n):  # the first block need not be undone, and its state is real
            overlap = tl.sum(_lean(q, n) * slope_real * _partner(real, q, n, BLOCK), axis=0)[None, :]
            to_block += tl.where(row[:, None] == q, 0.5 * overlap, 0.0)
        to_input += tl.where(tl.load(uploads) != 0, to_block, 0.0)
        _accumulate(partial, tl.sum(to_block, axis=1), row, n, again)
        place = to_inputs + token[None, :] * n + row[:, None]
        tl.store(place, to_input, mask=(token < tokens)[None, :] & (row < n)[:, None])
        tl.debug_barrier()  # one lane may next read what another has written


@lru_cache(maxsize=64)
def _flags(uploads: tuple[bool, ...], device: torch.device) -> torch.Tensor:
    """Return (k + 1,) int32, copied to a device once."""
    with torch.inference_mode(False):
        return torch.tensor(uploads, dtype=torch.int32, device=device)


@lru_cache(maxsize=16)
def _multiprocessors(device: torch.device) -> int:
    """Return the number of multiprocessors; 1 for the interpreter's CPU."""
    return torch.cuda.get_device_properties(device).multi_processor_count if device.type == "cuda" else 1


def _table(rotations: torch.Tensor, diagonals: torch.Tensor) -> torch.Tensor:
    """Return cosine and sine of each half angle of the rotations, then of each angle of the diagonals."""
    angles = torch.cat([rotations.flatten() / 2, diagonals.flatten()])
    return torch.stack([angles.cos(), angles.sin()], 1)


def values_of(
    inputs: torch.Tensor, rotations: torch.Tensor, diagonals: torch.Tensor, uploads: tuple[bool, ...]
) -> torch.Tensor:
    """Return expectations (tokens, n) without a graph."""
    inputs, table = inputs.contiguous(), _table(rotations, diagonals)
    tokens, n = inputs.shape
    values = torch.empty_like(inputs)
    tile = tile_for(n, inputs.dtype)
    tiles = triton.cdiv(tokens, tile.tokens)
    if tiles:
        with torch.cuda.device(inputs.device) if inputs.is_cuda else nullcontext():
            forward_kernel[(tiles,)](
                inputs,
                table,
                _flags(uploads, inputs.device),
                values,
                tokens,
                len(uploads) - 1,
                tiles,
                n=n,
                BLOCK=tile.tokens,
                num_warps=tile.warps,
                enable_fp_fusion=True,  # off by default from Triton 3.10 on
            )
    return values


def gradients_of(
    gradient: torch.Tensor,
    inputs: torch.Tensor,
    rotations: torch.Tensor,
    diagonals: torch.Tensor,
    uploads: tuple[bool, ...],
) -> tuple[torch.Tensor, ...]:
    """Return gradients to inputs (tokens, n), rotations (k + 1, n) and diagonals (k, 2^n), the same on every run."""
    inputs, table, weights = inputs.contiguous(), _table(rotations, diagonals), gradient.contiguous()
    tokens, n = inputs.shape
    to_inputs = torch.empty_like(inputs)
    entries = len(table)
    tile = tile_for(n, inputs.dtype)
    tiles = triton.cdiv(tokens, tile.tokens)
    processors = _multiprocessors(inputs.device)
    fitting = PARTIAL_BYTES // (entries * table.element_size())
    programs = min(tiles, tile.programs * processors, max(processors, fitting))
    partial = table.new_empty(programs, entries)
    if tiles:
        with torch.cuda.device(inputs.device) if inputs.is_cuda else nullcontext():
            backward_kernel[(programs,)](
                inputs,
                table,
                _flags(uploads, inputs.device),
                weights,
                to_inputs,
                partial,
                tokens,
                len(uploads) - 1,
                tiles,
                n=n,
                ROWS=triton.next_power_of_2(n),
                BLOCK=tile.tokens,
                num_warps=tile.warps,
                enable_fp_fusion=True,  # off by default from Triton 3.10 on
            )
    to_rotations, to_diagonals = partial.sum(0).split([rotations.numel(), diagonals.numel()])
    return to_inputs, to_rotations.view_as(rotations), to_diagonals.view_as(diagonals)
