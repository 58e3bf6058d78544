"""The compiled engine for CPUs: a circuit on as many tokens at a time as a vector register has lanes, all in cache.

The backward pass runs the circuit again and then backwards, on the state psi and on its gradient g (adjoint
differentiation), so that nothing of the size of a state is kept between the passes:

    dL/d angle of RY on q   = 1/2 sum over pairs of rows (psi_0 g_1 - psi_1 g_0)
    dL/d phase of row d     = Re psi_d Im g_d - Im psi_d Re g_d

Arguments of the kernels: rotations and diagonals hold the cosines of all (half) angles and, behind them, the sines;
inputs likewise, (2, n, padded tokens), the padding up to a multiple of `LANES` zero.
"""

from typing import Any

import numpy as np

from qweft.circuit.butterflies import compiled, turn, undo
from qweft.circuit.vector import (
    LANES,
    add,
    divide,
    load,
    magnitude,
    multiply,
    multiply_add,
    negative,
    splat,
    store,
    subtract,
    with_sign,
)


@compiled
def _find_shears(
    shears: Any, n: int, block: int, rotations: Any, inputs: Any, tile: int, padded: int, uploads: bool
) -> None:
    """S = sin p and u = -tan(p / 2) = -s / (1 + cos p) of each qubit, p taken modulo pi into [-pi/2, pi/2].

    A rotation by p + pi differs in the sign of a token's whole state, which no expectation value sees; so |u| <= 1.
    """
    one = splat(rotations.dtype.type(1))
    sines = rotations.size // 2
    for q in range(n):
        c, s = splat(rotations[block * n + q]), splat(rotations[sines + block * n + q])
        if uploads:
            x_c, x_s = load(inputs, q * padded + tile), load(inputs, (n + q) * padded + tile)
            c, s = (
                multiply_add(c, x_c, negative(multiply(s, x_s))),
                multiply_add(c, x_s, multiply(s, x_c)),
            )
        s = multiply(s, with_sign(one, c))
        store(shears, 2 * q * LANES, negative(divide(s, add(one, magnitude(c)))))
        store(shears, (2 * q + 1) * LANES, s)


@compiled
def _turn_phases(state: Any, size: int, width: int, diagonals: Any, block: int) -> None:
    sines = diagonals.size // 2 + block * size
    for row in range(size):
        c, s = splat(diagonals[block * size + row]), splat(diagonals[sines + row])
        i = row * width * LANES
        re, im = load(state, i), load(state, i + LANES)
        store(state, i, multiply_add(c, re, negative(multiply(s, im))))
        store(state, i + LANES, multiply_add(s, re, multiply(c, im)))


@compiled
def _undo_phases(state: Any, size: int, diagonals: Any, block: int, sums: Any) -> None:
    """One diagonal undone on state and gradient, after its angles' gradients are added to sums."""
    sines = diagonals.size // 2 + block * size
    for row in range(size):
        c, s = splat(diagonals[block * size + row]), splat(diagonals[sines + row])
        i, d = row * 4 * LANES, (block * size + row) * LANES
        re, im = load(state, i), load(state, i + LANES)
        g_re, g_im = load(state, i + 2 * LANES), load(state, i + 3 * LANES)
        store(sums, d, multiply_add(re, g_im, multiply_add(negative(im), g_re, load(sums, d))))
        store(state, i, multiply_add(c, re, multiply(s, im)))
        store(state, i + LANES, multiply_add(c, im, negative(multiply(s, re))))
        store(state, i + 2 * LANES, multiply_add(c, g_re, multiply(s, g_im)))
        store(state, i + 3 * LANES, multiply_add(c, g_im, negative(multiply(s, g_re))))


@compiled
def _run(
    state: Any, n: int, width: int, uploads: Any, rotations: Any, diagonals: Any, inputs: Any, tile: int, padded: int,
    shears: Any,
) -> None:  # fmt: skip
    """The last state of the tokens from `tile` on."""
    size = 1 << n
    for row in range(size):
        for lane in range(2 * LANES):
            state[row * width * LANES + lane] = 0
    for lane in range(LANES):
        state[lane] = 1
    for block in range(uploads.size):
        if block:
            _turn_phases(state, size, width, diagonals, block - 1)
        _find_shears(shears, n, block, rotations, inputs, tile, padded, uploads[block])
        turn(state, n, width, shears)


@compiled
def _write_values(state: Any, n: int, values: Any, tile: int, lanes: Any) -> None:
    """<Z_q> = sum of the probabilities where q's bit is 0 less those where it is 1; the state is used up."""
    rows = 1 << n
    for row in range(rows):
        re, im = load(state, 2 * row * LANES), load(state, (2 * row + 1) * LANES)
        store(state, row * LANES, multiply_add(re, re, multiply(im, im)))
    for q in range(n - 1, -1, -1):  # neighbours differ in the last qubit: their sum leaves a register without it
        rows >>= 1
        total = splat(values.dtype.type(0))
        for row in range(rows):
            zero, one = load(state, 2 * row * LANES), load(state, (2 * row + 1) * LANES)
            total = add(total, subtract(zero, one))
            store(state, row * LANES, add(zero, one))
        store(lanes, 0, total)
        for lane in range(min(LANES, values.shape[0] - tile)):
            values[tile + lane, q] = lanes[lane]


@compiled
def _start_gradient(state: Any, n: int, gradient: Any, tile: int, lanes: Any, weights: Any) -> None:
    """dL/d psi_d = 2 (sum over q of +-g_q) psi_d, the sign that of bit q of row d; zero for lanes beyond the tokens."""
    size = 1 << n
    count = min(LANES, gradient.shape[0] - tile)
    for lane in range(LANES):
        total = gradient.dtype.type(0)
        for q in range(n):
            g = 2 * gradient[tile + lane, q] if lane < count else gradient.dtype.type(0)
            lanes[q * LANES + lane] = 2 * g
            total += g
        weights[lane] = total
    for q in range(n):
        step = size >> (q + 1)
        twice = load(lanes, q * LANES)
        for row in range(0, size, 2 * step):
            store(weights, (row + step) * LANES, subtract(load(weights, row * LANES), twice))
    for row in range(size):
        weight, i = load(weights, row * LANES), row * 4 * LANES
        store(state, i + 2 * LANES, multiply(weight, load(state, i)))
        store(state, i + 3 * LANES, multiply(weight, load(state, i + LANES)))


@compiled
def _add_lanes(sums: Any, result: Any, factor: float) -> None:
    for i in range(result.size):
        total = sums[i * LANES]
        for lane in range(1, LANES):
            total += sums[i * LANES + lane]
        result[i] = factor * total


@compiled
def forward(
    values: Any, n: int, uploads: Any, rotations: Any, diagonals: Any, inputs: Any, start: int, stop: int
) -> None:
    """Expectations of the tokens from start to stop into values (tokens, n)."""
    state = np.empty((2 << n) * LANES, values.dtype)
    shears = np.empty(2 * n * LANES, values.dtype)
    padded = inputs.size // (2 * n)
    for tile in range(start, stop, LANES):
        _run(state, n, 2, uploads, rotations, diagonals, inputs, tile, padded, shears)
        _write_values(state, n, values, tile, shears)


@compiled
def backward(
    to_inputs: Any, to_rotations: Any, to_diagonals: Any, gradient: Any, n: int, uploads: Any, rotations: Any,
    diagonals: Any, inputs: Any, start: int, stop: int,
) -> None:  # fmt: skip
    """Gradients of the tokens from start to stop: to_inputs (tokens, n) theirs, the others summed over them."""
    size, blocks = 1 << n, uploads.size
    state = np.empty(4 * size * LANES, gradient.dtype)
    weights = np.empty(size * LANES, gradient.dtype)
    shears = np.empty(2 * n * LANES, gradient.dtype)
    pairs = np.empty(n * LANES, gradient.dtype)
    of_rotations = np.zeros(blocks * n * LANES, gradient.dtype)
    of_diagonals = np.zeros((blocks - 1) * size * LANES, gradient.dtype)
    padded = inputs.size // (2 * n)
    for tile in range(start, stop, LANES):
        _run(state, n, 4, uploads, rotations, diagonals, inputs, tile, padded, shears)
        _start_gradient(state, n, gradient, tile, pairs, weights)
        for lane in range(min(LANES, stop - tile)):
            for q in range(n):
                to_inputs[tile + lane, q] = 0
        for block in range(blocks - 1, -1, -1):
            _find_shears(shears, n, block, rotations, inputs, tile, padded, uploads[block])
            undo(state, n, shears, pairs)
            for i in range(n * LANES):
                of_rotations[block * n * LANES + i] += pairs[i]
            if uploads[block]:
                for lane in range(min(LANES, stop - tile)):
                    for q in range(n):
                        to_inputs[tile + lane, q] += pairs[q * LANES + lane] / 2
            if block:
                _undo_phases(state, size, diagonals, block - 1, of_diagonals)
    _add_lanes(of_rotations, to_rotations, 0.5)
    _add_lanes(of_diagonals, to_diagonals, 1.0)
