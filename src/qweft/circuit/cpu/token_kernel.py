"""CPU kernel of one token, an amplitude in each lane: last qubits are bits of a lane's number, others of a row's."""

from typing import Any

from qweft.circuit.cpu.vector import (
    LANES,
    add,
    compiled,
    first,
    load,
    multiply,
    multiply_add,
    negative,
    splat,
    store,
    subtract,
    swap_1,
    swap_2,
    swap_4,
    swap_8,
)

LANE_QUBITS = LANES.bit_length() - 1


@compiled
def _sum(a: Any) -> Any:
    a = add(a, swap_1(a))
    a = add(a, swap_2(a))
    a = add(a, swap_4(a))
    return first(add(a, swap_8(a)) if LANES > 8 else a)


@compiled
def _turn(a: Any, exchanged: Any, c: Any, s: Any) -> Any:
    return multiply_add(s, exchanged, multiply(c, a))


@compiled
def _turn_lanes(state: Any, rows: int, diagonals: Any, diagonal: int, turns: Any, signs: Any, n: int) -> None:
    """Apply a diagonal, none if its number is negative, and rotate the qubits that are bits of a lane's number."""
    c = (splat(turns[n - 1]), splat(turns[max(n - 2, 0)]), splat(turns[max(n - 3, 0)]), splat(turns[max(n - 4, 0)]))
    s = (
        multiply(splat(turns[2 * n - 1]), load(signs, 0)),
        multiply(splat(turns[max(2 * n - 2, 0)]), load(signs, LANES)),
        multiply(splat(turns[max(2 * n - 3, 0)]), load(signs, 2 * LANES)),
        multiply(splat(turns[max(2 * n - 4, 0)]), load(signs, LANE_QUBITS * LANES - LANES)),
    )
    half = diagonals.size // 2
    for row in range(rows):
        i = 2 * row * LANES
        re, im = load(state, i), load(state, i + LANES)
        if diagonal >= 0:
            at = (diagonal * rows + row) * LANES
            cosine, sine = load(diagonals, at), load(diagonals, half + at)
            re, im = (
                multiply_add(cosine, re, negative(multiply(sine, im))),
                multiply_add(sine, re, multiply(cosine, im)),
            )
        re, im = _turn(re, swap_1(re), c[0], s[0]), _turn(im, swap_1(im), c[0], s[0])
        if n > 1:
            re, im = _turn(re, swap_2(re), c[1], s[1]), _turn(im, swap_2(im), c[1], s[1])
        if n > 2:
            re, im = _turn(re, swap_4(re), c[2], s[2]), _turn(im, swap_4(im), c[2], s[2])
        if n > 3 and LANES > 8:
            re, im = _turn(re, swap_8(re), c[3], s[3]), _turn(im, swap_8(im), c[3], s[3])
        store(state, i, re)
        store(state, i + LANES, im)


@compiled
def _turn_row(state: Any, rows: int, q: int, turns: Any, n: int) -> None:
    """Rotate qubit q, a bit of a row's number."""
    c, s = splat(turns[q]), splat(turns[n + q])
    down = negative(s)
    step = rows >> (q + 1)
    for base in range(0, rows, 2 * step):
        for row in range(base, base + step):
            for part in range(2):
                i = (2 * row + part) * LANES
                k = i + 2 * step * LANES
                a, b = load(state, i), load(state, k)
                store(state, i, _turn(a, b, c, down))
                store(state, k, _turn(b, a, c, s))


@compiled
def _turn_two_rows(state: Any, rows: int, q: int, turns: Any, n: int) -> None:
    """Rotate qubits q and q + 1, bits of a row's number."""
    c, s = splat(turns[q]), splat(turns[n + q])
    d, t = splat(turns[q + 1]), splat(turns[n + q + 1])
    down, sink = negative(s), negative(t)
    step = rows >> (q + 2)
    hop = 2 * step * LANES
    for base in range(0, rows, 4 * step):
        for row in range(base, base + step):
            for part in range(2):
                i = (2 * row + part) * LANES
                a, b = load(state, i), load(state, i + hop)
                e, g = load(state, i + 2 * hop), load(state, i + 3 * hop)
                a, e = _turn(a, e, c, down), _turn(e, a, c, s)
                b, g = _turn(b, g, c, down), _turn(g, b, c, s)
                store(state, i, _turn(a, b, d, sink))
                store(state, i + hop, _turn(b, a, d, t))
                store(state, i + 2 * hop, _turn(e, g, d, sink))
                store(state, i + 3 * hop, _turn(g, e, d, t))


@compiled
def find_values(
    values: Any,
    n: int,
    uploads: Any,
    rotations: Any,
    diagonals: Any,
    signs: Any,
    inputs: Any,
    state: Any,
    turns: Any,
) -> None:
    """Write n expectations of a token; rotations, inputs, diagonals: cosines, then sines, padded to whole vectors."""
    # uploads: whether a rotation block adds the input; rotations: trained half angles; inputs: n half angles;
    # signs (LANE_QUBITS, LANES): -1 in lanes where a last qubit's bit is 0, else 1; state: 2 max(2^n, LANES); turns: 2n
    kind = values.dtype
    low = min(n, LANE_QUBITS)
    high = n - low
    rows = 1 << high
    sines = rotations.size // 2
    for i in range(2 * rows):
        store(state, i * LANES, splat(kind.type(0)))
    state[0] = kind.type(1)
    for block in range(uploads.size):
        for q in range(n):
            cosine, sine = rotations[block * n + q], rotations[sines + block * n + q]
            if uploads[block]:
                cosine, sine = (
                    cosine * inputs[q] - sine * inputs[n + q],
                    cosine * inputs[n + q] + sine * inputs[q],
                )
            turns[q], turns[n + q] = cosine, sine
        _turn_lanes(state, rows, diagonals, block - 1, turns, signs, n)
        for q in range(0, high - 1, 2):
            _turn_two_rows(state, rows, q, turns, n)
        if high % 2:
            _turn_row(state, rows, high - 1, turns, n)
    total = splat(kind.type(0))
    for row in range(rows):
        re, im = load(state, 2 * row * LANES), load(state, (2 * row + 1) * LANES)
        square = multiply_add(re, re, multiply(im, im))
        store(state, row * LANES, square)
        total = add(total, square)
    for q in range(high):
        step = rows >> (q + 1)
        found = splat(kind.type(0))
        for base in range(0, rows, 2 * step):
            for row in range(base, base + step):
                found = add(found, subtract(load(state, row * LANES), load(state, (row + step) * LANES)))
        values[q] = _sum(found)
    for q in range(high, n):
        values[q] = -_sum(multiply(total, load(signs, (n - 1 - q) * LANES)))
