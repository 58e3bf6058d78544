"""CPU kernels: the circuit on as many tokens at a time as a vector register has lanes, all in cache.

A state is an array of 2^n rows of `width` vectors: real and imaginary part, then (width 4) those of its gradient.
"""

from typing import Any

import numpy as np

from qweft.circuit.vector import (
    KERNELS,
    LANES,
    add,
    any_below,
    divide,
    load,
    magnitude,
    multiply,
    multiply_add,
    negative,
    splat,
    store,
    stored_by,
    subtract,
    with_sign,
)

ROWS_IN_CACHE = 64
"""Rows that pass through all their qubits before the next ones: 16 KiB with a gradient, a third of an L1 cache."""

compiled = stored_by(*KERNELS, nogil=True, error_model="numpy", boundscheck=False)
_apart = stored_by(*KERNELS, nogil=True, error_model="numpy", boundscheck=False, inline="never")


@compiled
def _rotated(a: Any, b: Any, u: Any, s: Any, fast: bool) -> Any:
    """Return a and b rotated: over cos p by u = -tan p, s = tan p; or by shears, u = -tan(p / 2), s = sin p."""
    if fast:
        return multiply_add(u, b, a), multiply_add(s, a, b)
    a = multiply_add(u, b, a)
    b = multiply_add(s, a, b)
    return multiply_add(u, b, a), b


@_apart
def _turn_one(state: Any, start: int, stop: int, step: int, width: int, turns: Any, q: int, fast: bool) -> None:
    """Rotate qubit q, whose bit has a stride of `step` rows."""
    u, s = load(turns, 2 * q * LANES), load(turns, (2 * q + 1) * LANES)
    hop = step * width * LANES
    for base in range(start, stop, 2 * step):
        for row in range(base, base + step):
            for part in range(2):
                i = (row * width + part) * LANES
                a, b = _rotated(load(state, i), load(state, i + hop), u, s, fast)
                store(state, i, a)
                store(state, i + hop, b)


@_apart
def _turn_two(state: Any, start: int, stop: int, step: int, width: int, turns: Any, q: int, fast: bool) -> None:
    """Rotate qubits q and q + 1, whose bits have strides of 2 `step` and `step` rows."""
    u, s = load(turns, 2 * q * LANES), load(turns, (2 * q + 1) * LANES)
    v, t = load(turns, (2 * q + 2) * LANES), load(turns, (2 * q + 3) * LANES)
    hop = step * width * LANES
    for base in range(start, stop, 4 * step):
        for row in range(base, base + step):
            for part in range(2):
                i = (row * width + part) * LANES
                a, b = load(state, i), load(state, i + hop)
                c, d = load(state, i + 2 * hop), load(state, i + 3 * hop)
                a, c = _rotated(a, c, u, s, fast)
                b, d = _rotated(b, d, u, s, fast)
                a, b = _rotated(a, b, v, t, fast)
                c, d = _rotated(c, d, v, t, fast)
                store(state, i, a)
                store(state, i + hop, b)
                store(state, i + 2 * hop, c)
                store(state, i + 3 * hop, d)


@compiled
def turn(state: Any, n: int, width: int, turns: Any, fast: bool) -> None:
    """Apply RY to every qubit, over the product of its cosines if `fast`; turns hold u and s of each qubit."""
    size = 1 << n
    rows, first = size, 0
    while rows > ROWS_IN_CACHE:
        if rows > 2 * ROWS_IN_CACHE:
            _turn_two(state, 0, size, rows >> 2, width, turns, first, fast)
            rows, first = rows >> 2, first + 2
        else:
            _turn_one(state, 0, size, rows >> 1, width, turns, first, fast)
            rows, first = rows >> 1, first + 1
    for start in range(0, size, rows):
        near, q = rows, first
        while near > 1:
            if near > 2:
                _turn_two(state, start, start + rows, near >> 2, width, turns, q, fast)
                near, q = near >> 2, q + 2
            else:
                _turn_one(state, start, start + rows, near >> 1, width, turns, q, fast)
                near, q = near >> 1, q + 1


@_apart
def _undo_one(state: Any, start: int, stop: int, step: int, turns: Any, q: int, fast: bool, sums: Any) -> None:
    """Undo the rotation of qubit q on state and gradient, after adding its pairs' psi_0 g_1 - psi_1 g_0 to sums."""
    u, s = negative(load(turns, 2 * q * LANES)), negative(load(turns, (2 * q + 1) * LANES))
    total = load(sums, q * LANES)
    hop = step * 4 * LANES
    for base in range(start, stop, 2 * step):
        for row in range(base, base + step):
            for part in range(2):
                i = (row * 4 + part) * LANES
                g = i + 2 * LANES
                a, b = load(state, i), load(state, i + hop)
                ga, gb = load(state, g), load(state, g + hop)
                total = multiply_add(gb, a, total)
                total = multiply_add(negative(ga), b, total)
                a, b = _rotated(a, b, u, s, fast)
                ga, gb = _rotated(ga, gb, u, s, fast)
                store(state, i, a)
                store(state, i + hop, b)
                store(state, g, ga)
                store(state, g + hop, gb)
    store(sums, q * LANES, total)


@_apart
def _undo_two(state: Any, start: int, stop: int, step: int, turns: Any, q: int, fast: bool, sums: Any) -> None:
    """Undo the rotations of qubits q and q + 1 on state and gradient; they commute, so their sums need no order."""
    u, s = negative(load(turns, 2 * q * LANES)), negative(load(turns, (2 * q + 1) * LANES))
    v, t = negative(load(turns, (2 * q + 2) * LANES)), negative(load(turns, (2 * q + 3) * LANES))
    total, other = load(sums, q * LANES), load(sums, (q + 1) * LANES)
    hop = step * 4 * LANES
    for base in range(start, stop, 4 * step):
        for row in range(base, base + step):
            for part in range(2):
                i = (row * 4 + part) * LANES
                g = i + 2 * LANES
                a, b = load(state, i), load(state, i + hop)
                c, d = load(state, i + 2 * hop), load(state, i + 3 * hop)
                ga, gb = load(state, g), load(state, g + hop)
                gc, gd = load(state, g + 2 * hop), load(state, g + 3 * hop)
                total = multiply_add(gc, a, total)
                total = multiply_add(negative(ga), c, total)
                total = multiply_add(gd, b, total)
                total = multiply_add(negative(gb), d, total)
                other = multiply_add(gb, a, other)
                other = multiply_add(negative(ga), b, other)
                other = multiply_add(gd, c, other)
                other = multiply_add(negative(gc), d, other)
                a, c = _rotated(a, c, u, s, fast)
                b, d = _rotated(b, d, u, s, fast)
                a, b = _rotated(a, b, v, t, fast)
                c, d = _rotated(c, d, v, t, fast)
                store(state, i, a)
                store(state, i + hop, b)
                store(state, i + 2 * hop, c)
                store(state, i + 3 * hop, d)
                ga, gc = _rotated(ga, gc, u, s, fast)
                gb, gd = _rotated(gb, gd, u, s, fast)
                ga, gb = _rotated(ga, gb, v, t, fast)
                gc, gd = _rotated(gc, gd, v, t, fast)
                store(state, g, ga)
                store(state, g + hop, gb)
                store(state, g + 2 * hop, gc)
                store(state, g + 3 * hop, gd)
    store(sums, q * LANES, total)
    store(sums, (q + 1) * LANES, other)


@compiled
def undo(state: Any, n: int, turns: Any, fast: bool, sums: Any) -> None:
    """Undo RY on every qubit of state and gradient (width 4); sums take one vector per qubit.

    If `fast`, both come out over the product of the cosines.
    """
    sums[: n * LANES] = 0
    size = 1 << n
    rows, first = size, 0
    while rows > ROWS_IN_CACHE:
        if rows > 2 * ROWS_IN_CACHE:
            _undo_two(state, 0, size, rows >> 2, turns, first, fast, sums)
            rows, first = rows >> 2, first + 2
        else:
            _undo_one(state, 0, size, rows >> 1, turns, first, fast, sums)
            rows, first = rows >> 1, first + 1
    for start in range(0, size, rows):
        near, q = rows, first
        while near > 1:
            if near > 2:
                _undo_two(state, start, start + rows, near >> 2, turns, q, fast, sums)
                near, q = near >> 2, q + 2
            else:
                _undo_one(state, start, start + rows, near >> 1, turns, q, fast, sums)
                near, q = near >> 1, q + 1


@compiled
def _find_turns(
    turns: Any, n: int, block: int, rotations: Any, inputs: Any, tile: int, padded: int, uploads: bool
) -> bool:
    """Compute u and s of each qubit, its cosine c and, at 3 n, the product of all c; return whether `turn` is fast.

    p is half the angle modulo pi, in [-pi/2, pi/2]. A rotation by p + pi differs in the sign of a token's whole state,
    which no expectation value shows. Where tan p is so large that sums of the scaled state could overflow, a block is
    turned by shears: u = -tan(p / 2) = -s / (1 + c), |u| <= 1. Then every c is given as 1.
    """
    kind, sines, fast = rotations.dtype, rotations.size // 2, True
    one, least = splat(kind.type(1)), splat(kind.type(2.0 ** -min(8.0, 52.0 / max(n - 2, 1))))
    for q in range(n):
        c, s = splat(rotations[block * n + q]), splat(rotations[sines + block * n + q])
        if uploads:
            x_c, x_s = load(inputs, q * padded + tile), load(inputs, (n + q) * padded + tile)
            c, s = (
                multiply_add(c, x_c, negative(multiply(s, x_s))),
                multiply_add(c, x_s, multiply(s, x_c)),
            )
        s, c = multiply(s, with_sign(one, c)), magnitude(c)
        fast = fast and not any_below(c, least)
        store(turns, (2 * q + 1) * LANES, s)
        store(turns, (2 * n + q) * LANES, c)
    product = one
    for q in range(n):
        c, s = load(turns, (2 * n + q) * LANES), load(turns, (2 * q + 1) * LANES)
        if fast:
            product, s = multiply(product, c), divide(s, c)
            store(turns, 2 * q * LANES, negative(s))
            store(turns, (2 * q + 1) * LANES, s)
        else:
            store(turns, 2 * q * LANES, negative(divide(s, add(one, c))))
            store(turns, (2 * n + q) * LANES, one)
    store(turns, 3 * n * LANES, product)
    return fast


@compiled
def _correct_sums(sums: Any, n: int, turns: Any) -> None:
    """Multiply the sums of each qubit by the squared cosines of those undone before it, in the order of `undo`."""
    gain, rows, q = splat(sums.dtype.type(1)), 1 << n, 0
    while q < n:
        count, square = 1 if rows == 2 or ROWS_IN_CACHE < rows <= 2 * ROWS_IN_CACHE else 2, multiply(gain, gain)
        for other in range(q, q + count):
            store(sums, other * LANES, multiply(square, load(sums, other * LANES)))
            gain = multiply(gain, load(turns, (2 * n + other) * LANES))
        rows, q = rows >> count, q + count


@compiled
def _turn_phases(state: Any, size: int, width: int, diagonals: Any, block: int, scale: Any) -> None:
    """Multiply each amplitude by its phase and the scale."""
    sines = diagonals.size // 2 + block * size
    for row in range(size):
        i, c, s = row * width * LANES, splat(diagonals[block * size + row]), splat(diagonals[sines + row])
        c, s = multiply(scale, c), multiply(scale, s)
        re, im = load(state, i), load(state, i + LANES)
        store(state, i, multiply_add(c, re, negative(multiply(s, im))))
        store(state, i + LANES, multiply_add(s, re, multiply(c, im)))


@compiled
def _undo_phases(state: Any, size: int, diagonals: Any, block: int, scale: Any, sums: Any) -> None:
    """Undo one diagonal on state and gradient and scale both, after adding its angles' gradients to sums."""
    sines = diagonals.size // 2 + block * size
    square = multiply(scale, scale)
    for row in range(size):
        c, s = multiply(scale, splat(diagonals[block * size + row])), multiply(scale, splat(diagonals[sines + row]))
        i, d = row * 4 * LANES, (block * size + row) * LANES
        re, im = load(state, i), load(state, i + LANES)
        g_re, g_im = load(state, i + 2 * LANES), load(state, i + 3 * LANES)
        turned = multiply_add(re, g_im, negative(multiply(im, g_re)))
        store(sums, d, multiply_add(square, turned, load(sums, d)))
        store(state, i, multiply_add(c, re, multiply(s, im)))
        store(state, i + LANES, multiply_add(c, im, negative(multiply(s, re))))
        store(state, i + 2 * LANES, multiply_add(c, g_re, multiply(s, g_im)))
        store(state, i + 3 * LANES, multiply_add(c, g_im, negative(multiply(s, g_re))))


@compiled
def _run(
    state: Any, n: int, width: int, uploads: Any, rotations: Any, diagonals: Any, inputs: Any, tile: int, padded: int,
    turns: Any,
) -> None:  # fmt: skip
    """Compute the final state of the tokens from `tile` on."""
    size = 1 << n
    for row in range(size):
        for lane in range(2 * LANES):
            state[row * width * LANES + lane] = 0
    for lane in range(LANES):
        state[lane] = 1
    for block in range(uploads.size):
        if block:
            _turn_phases(state, size, width, diagonals, block - 1, load(turns, 3 * n * LANES))
        fast = _find_turns(turns, n, block, rotations, inputs, tile, padded, uploads[block])
        turn(state, n, width, turns, fast)
    for row in range(size):
        for part in range(2):
            i = (row * width + part) * LANES
            store(state, i, multiply(load(turns, 3 * n * LANES), load(state, i)))


@compiled
def _write_values(state: Any, n: int, values: Any, tile: int, lanes: Any) -> None:
    """Write <Z_q>, the sum of probabilities where q's bit is 0 minus those where it is 1; this overwrites the state."""
    rows = 1 << n
    for row in range(rows):
        re, im = load(state, 2 * row * LANES), load(state, (2 * row + 1) * LANES)
        store(state, row * LANES, multiply_add(re, re, multiply(im, im)))
    for q in range(n - 1, -1, -1):  # neighbours differ in the last qubit: their sum is a register without it
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
    """Set dL/d psi_d = 2 (sum over q of +-g_q) psi_d with the sign of bit q of row d; zero for padding lanes."""
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
    """Write the expectations of the tokens from start to stop into values (tokens, n)."""
    state = np.empty((2 << n) * LANES, values.dtype)
    turns = np.empty((3 * n + 1) * LANES, values.dtype)
    padded = inputs.size // (2 * n)
    for tile in range(start, stop, LANES):
        _run(state, n, 2, uploads, rotations, diagonals, inputs, tile, padded, turns)
        _write_values(state, n, values, tile, turns)


@compiled
def backward(
    to_inputs: Any, to_rotations: Any, to_diagonals: Any, gradient: Any, n: int, uploads: Any, rotations: Any,
    diagonals: Any, inputs: Any, start: int, stop: int,
) -> None:  # fmt: skip
    """Compute gradients of the tokens from start to stop: to_inputs (tokens, n), the others summed over tokens."""
    size, blocks = 1 << n, uploads.size
    state = np.empty(4 * size * LANES, gradient.dtype)
    weights = np.empty(size * LANES, gradient.dtype)
    turns = np.empty((3 * n + 1) * LANES, gradient.dtype)
    pairs = np.empty(n * LANES, gradient.dtype)
    of_rotations = np.zeros(blocks * n * LANES, gradient.dtype)
    of_diagonals = np.zeros((blocks - 1) * size * LANES, gradient.dtype)
    padded = inputs.size // (2 * n)
    for tile in range(start, stop, LANES):
        _run(state, n, 4, uploads, rotations, diagonals, inputs, tile, padded, turns)
        _start_gradient(state, n, gradient, tile, pairs, weights)
        for lane in range(min(LANES, stop - tile)):
            for q in range(n):
                to_inputs[tile + lane, q] = 0
        for block in range(blocks - 1, -1, -1):
            fast = _find_turns(turns, n, block, rotations, inputs, tile, padded, uploads[block])
            undo(state, n, turns, fast, pairs)
            if fast:
                _correct_sums(pairs, n, turns)
            for i in range(n * LANES):
                of_rotations[block * n * LANES + i] += pairs[i]
            if uploads[block]:
                for lane in range(min(LANES, stop - tile)):
                    for q in range(n):
                        to_inputs[tile + lane, q] += pairs[q * LANES + lane] / 2
            if block:
                _undo_phases(state, size, diagonals, block - 1, load(turns, 3 * n * LANES), of_diagonals)
    _add_lanes(of_rotations, to_rotations, 0.5)
    _add_lanes(of_diagonals, to_diagonals, 1.0)
