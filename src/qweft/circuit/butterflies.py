"""Rotations of a whole register, forwards and backwards, on rows that hold one vector register of tokens each.

A row is one basis state: real and imaginary part and, with `width` 4, those of the gradient. A rotation is three
shears, one multiplication each, and undone by the reverse ones:

    [cos p, -sin p; sin p, cos p] = (1 u; 0 1) (1 0; s 1) (1 u; 0 1),   s = sin p,  u = -tan(p / 2),  p = angle / 2

Two qubits are turned in one pass over the rows, and rows near each other through all their qubits before the next ones,
so that most of the work finds its data in registers and in the first cache.
"""

from typing import Any

from numba import njit

from qweft.circuit.vector import LANES, load, multiply_add, negative, store

ROWS_IN_CACHE = 64
"""Rows that go through all their qubits before the next ones: 16 KiB with a gradient, a third of a first cache."""

compiled = njit(nogil=True, cache=True, error_model="numpy", boundscheck=False)
_apart = njit(nogil=True, cache=True, error_model="numpy", boundscheck=False, inline="never")


@_apart
def _turn_one(state: Any, start: int, stop: int, step: int, width: int, shears: Any, q: int) -> None:
    """Qubit q, whose bit is worth `step` rows."""
    u, s = load(shears, 2 * q * LANES), load(shears, (2 * q + 1) * LANES)
    hop = step * width * LANES
    for base in range(start, stop, 2 * step):
        for row in range(base, base + step):
            for part in range(2):
                i = (row * width + part) * LANES
                a, b = load(state, i), load(state, i + hop)
                a = multiply_add(u, b, a)
                b = multiply_add(s, a, b)
                a = multiply_add(u, b, a)
                store(state, i, a)
                store(state, i + hop, b)


@_apart
def _turn_two(state: Any, start: int, stop: int, step: int, width: int, shears: Any, q: int) -> None:
    """Qubits q and q + 1, whose bits are worth 2 `step` and `step` rows."""
    u, s = load(shears, 2 * q * LANES), load(shears, (2 * q + 1) * LANES)
    v, t = load(shears, (2 * q + 2) * LANES), load(shears, (2 * q + 3) * LANES)
    hop = step * width * LANES
    for base in range(start, stop, 4 * step):
        for row in range(base, base + step):
            for part in range(2):
                i = (row * width + part) * LANES
                a, b = load(state, i), load(state, i + hop)
                c, d = load(state, i + 2 * hop), load(state, i + 3 * hop)
                a, b = multiply_add(u, c, a), multiply_add(u, d, b)
                c, d = multiply_add(s, a, c), multiply_add(s, b, d)
                a, b = multiply_add(u, c, a), multiply_add(u, d, b)
                a, c = multiply_add(v, b, a), multiply_add(v, d, c)
                b, d = multiply_add(t, a, b), multiply_add(t, c, d)
                a, c = multiply_add(v, b, a), multiply_add(v, d, c)
                store(state, i, a)
                store(state, i + hop, b)
                store(state, i + 2 * hop, c)
                store(state, i + 3 * hop, d)


@compiled
def turn(state: Any, n: int, width: int, shears: Any) -> None:
    """RY on every qubit; shears hold u and s of each, a vector each."""
    size = 1 << n
    rows, first = size, 0
    while rows > ROWS_IN_CACHE:
        if rows > 2 * ROWS_IN_CACHE:
            _turn_two(state, 0, size, rows >> 2, width, shears, first)
            rows, first = rows >> 2, first + 2
        else:
            _turn_one(state, 0, size, rows >> 1, width, shears, first)
            rows, first = rows >> 1, first + 1
    for start in range(0, size, rows):
        near, q = rows, first
        while near > 1:
            if near > 2:
                _turn_two(state, start, start + rows, near >> 2, width, shears, q)
                near, q = near >> 2, q + 2
            else:
                _turn_one(state, start, start + rows, near >> 1, width, shears, q)
                near, q = near >> 1, q + 1


@_apart
def _undo_one(state: Any, start: int, stop: int, step: int, shears: Any, q: int, sums: Any) -> None:
    """Qubit q undone on state and gradient, after its pairs' psi_0 g_1 - psi_1 g_0 are added to sums."""
    u, s = negative(load(shears, 2 * q * LANES)), negative(load(shears, (2 * q + 1) * LANES))
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
                a, ga = multiply_add(u, b, a), multiply_add(u, gb, ga)
                b, gb = multiply_add(s, a, b), multiply_add(s, ga, gb)
                a, ga = multiply_add(u, b, a), multiply_add(u, gb, ga)
                store(state, i, a)
                store(state, i + hop, b)
                store(state, g, ga)
                store(state, g + hop, gb)
    store(sums, q * LANES, total)


@_apart
def _undo_two(state: Any, start: int, stop: int, step: int, shears: Any, q: int, sums: Any) -> None:
    """Qubits q and q + 1 undone on state and gradient; the order does not matter to their sums, for they commute."""
    u, s = negative(load(shears, 2 * q * LANES)), negative(load(shears, (2 * q + 1) * LANES))
    v, t = negative(load(shears, (2 * q + 2) * LANES)), negative(load(shears, (2 * q + 3) * LANES))
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
                a, b = multiply_add(u, c, a), multiply_add(u, d, b)
                c, d = multiply_add(s, a, c), multiply_add(s, b, d)
                a, b = multiply_add(u, c, a), multiply_add(u, d, b)
                a, c = multiply_add(v, b, a), multiply_add(v, d, c)
                b, d = multiply_add(t, a, b), multiply_add(t, c, d)
                a, c = multiply_add(v, b, a), multiply_add(v, d, c)
                store(state, i, a)
                store(state, i + hop, b)
                store(state, i + 2 * hop, c)
                store(state, i + 3 * hop, d)
                ga, gb = multiply_add(u, gc, ga), multiply_add(u, gd, gb)
                gc, gd = multiply_add(s, ga, gc), multiply_add(s, gb, gd)
                ga, gb = multiply_add(u, gc, ga), multiply_add(u, gd, gb)
                ga, gc = multiply_add(v, gb, ga), multiply_add(v, gd, gc)
                gb, gd = multiply_add(t, ga, gb), multiply_add(t, gc, gd)
                ga, gc = multiply_add(v, gb, ga), multiply_add(v, gd, gc)
                store(state, g, ga)
                store(state, g + hop, gb)
                store(state, g + 2 * hop, gc)
                store(state, g + 3 * hop, gd)
    store(sums, q * LANES, total)
    store(sums, (q + 1) * LANES, other)


@compiled
def undo(state: Any, n: int, shears: Any, sums: Any) -> None:
    """RY on every qubit undone on state and gradient (width 4); sums take a vector a qubit."""
    sums[: n * LANES] = 0
    size = 1 << n
    rows, first = size, 0
    while rows > ROWS_IN_CACHE:
        if rows > 2 * ROWS_IN_CACHE:
            _undo_two(state, 0, size, rows >> 2, shears, first, sums)
            rows, first = rows >> 2, first + 2
        else:
            _undo_one(state, 0, size, rows >> 1, shears, first, sums)
            rows, first = rows >> 1, first + 1
    for start in range(0, size, rows):
        near, q = rows, first
        while near > 1:
            if near > 2:
                _undo_two(state, start, start + rows, near >> 2, shears, q, sums)
                near, q = near >> 2, q + 2
            else:
                _undo_one(state, start, start + rows, near >> 1, shears, q, sums)
                near, q = near >> 1, q + 1
