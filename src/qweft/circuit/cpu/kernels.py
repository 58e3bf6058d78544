"""CPU kernels: a program on as many tokens at a time as a vector register has lanes, all in cache.

A state is 2^n rows of `width` vectors: real, imaginary, then (width 4) those of its gradient. RY on every qubit is done
as a - tan(p) b and b + tan(p) a, half the multiplications; the next diagonal has the product of the cosines.
"""

from typing import Any

import numpy as np

from qweft.circuit.cpu.program import (
    AMPLITUDES,
    DIAGONAL,
    DIAGONAL_OF_TOKEN,
    EACH_Z,
    IMAGINARY,
    MODE,
    PAIRS,
    PROBABILITIES,
    QUBITS,
    REAL,
    REAL_TWO,
    ROWS,
    SIGNS,
    STEPS,
    TABLE,
    TERMS,
    TURN_ALL,
    UPLOADS,
    Z_OUTPUTS,
)
from qweft.circuit.cpu.vector import (
    LANES,
    add,
    any_below,
    apart,
    compiled,
    divide,
    inlined,
    load,
    multiply,
    multiply_add,
    negative,
    splat,
    store,
    subtract,
)

ROWS_IN_CACHE = 64
"""Rows that pass through all their qubits before the next ones: 16 KiB with a gradient, a third of an L1 cache."""
SMALLEST = 2.0**-80
"""Of the square of a product of cosines; below it a block is turned by cosines and sines, lest the state overflow."""


@inlined
def _turned(a: Any, b: Any, c: Any, s: Any, fast: bool) -> Any:
    """Return c a - s b and c b + s a; if `fast`, a - s b and b + s a, where s is the tangent."""
    if fast:
        return multiply_add(negative(s), b, a), multiply_add(s, a, b)
    return multiply_add(negative(s), b, multiply(c, a)), multiply_add(s, a, multiply(c, b))


@inlined
def _cross(total: Any, a: Any, b: Any, e: Any, g: Any) -> Any:
    """Return total + a b - e g."""
    return multiply_add(negative(e), g, multiply_add(a, b, total))


@inlined
def _pair(state: Any, i: int, k: int, turn: Any, fast: bool, total: Any) -> Any:
    """Turn two vectors; if there is a total, their gradients too: return it + twice the derivative by the angle."""
    (c, s), half, found = turn, 2 * LANES, total
    a, b = load(state, i), load(state, k)
    if total is not None:
        g, h = load(state, i + half), load(state, k + half)
        found = _cross(total, h, a, g, b)
    a, b = _turned(a, b, c, s, fast)
    store(state, i, a)
    store(state, k, b)
    if total is not None:
        g, h = _turned(g, h, c, s, fast)
        store(state, i + half, g)
        store(state, k + half, h)
    return found


@inlined
def _four(state: Any, places: Any, turns: Any, how: Any, one: Any, other: Any) -> Any:
    """Turn (i, k) and (j, m) by c and s, then (i, j) and (k, m) by d and t; if `flipped`, with -m in the place of m."""
    # if there are totals, turn the gradients too, and return both totals + twice the derivatives by the angles
    (i, j, k, m), (c, s, d, t), (fast, flipped), half, found = places, turns, how, 2 * LANES, (one, other)
    a, b, e, g = load(state, i), load(state, j), load(state, k), load(state, m)
    g = negative(g) if flipped else g
    if one is not None:
        ga, gb, ge, gg = load(state, i + half), load(state, j + half), load(state, k + half), load(state, m + half)
        gg = negative(gg) if flipped else gg
        found = (
            _cross(_cross(one, ge, a, ga, e), gg, b, gb, g),
            _cross(_cross(other, gb, a, ga, b), gg, e, ge, g),
        )
    a, e = _turned(a, e, c, s, fast)
    b, g = _turned(b, g, c, s, fast)
    a, b = _turned(a, b, d, t, fast)
    e, g = _turned(e, g, d, t, fast)
    store(state, i, a)
    store(state, j, b)
    store(state, k, e)
    store(state, m, negative(g) if flipped else g)
    if one is not None:
        ga, ge = _turned(ga, ge, c, s, fast)
        gb, gg = _turned(gb, gg, c, s, fast)
        ga, gb = _turned(ga, gb, d, t, fast)
        ge, gg = _turned(ge, gg, d, t, fast)
        store(state, i + half, ga)
        store(state, j + half, gb)
        store(state, k + half, ge)
        store(state, m + half, negative(gg) if flipped else gg)
    return found


@inlined
def _turn(turns: Any, q: int) -> Any:
    return load(turns, 2 * q * LANES), load(turns, (2 * q + 1) * LANES)


@apart
def _turn_one(
    state: Any, start: int, stop: int, step: int, width: int, turns: Any, q: int, fast: bool, sums: Any
) -> None:
    """Rotate qubit q, whose bit has a stride of `step` rows; with sums the gradient too, whose width is 4."""
    turn, total = _turn(turns, q), load(sums, q * LANES)
    row_width = (width if sums is None else 4) * LANES
    for base in range(start, stop, 2 * step):
        for row in range(base, base + step):
            for part in range(0, 2 * LANES, LANES):
                i = row * row_width + part
                total = _pair(state, i, i + step * row_width, turn, fast, total)
    store(sums, q * LANES, total)


@apart
def _turn_two(
    state: Any, start: int, stop: int, step: int, width: int, turns: Any, q: int, fast: bool, sums: Any
) -> None:
    """Rotate qubits q and q + 1, whose bits have strides of 2 `step` and `step` rows, as `_turn_one` does one."""
    both, at = _turn(turns, q) + _turn(turns, q + 1), q * LANES
    one, other = load(sums, at), load(sums, at + LANES)
    row_width = (width if sums is None else 4) * LANES
    hop = step * row_width
    for base in range(start, stop, 4 * step):
        for row in range(base, base + step):
            for part in range(0, 2 * LANES, LANES):
                i = row * row_width + part
                one, other = _four(state, (i, i + hop, i + 2 * hop, i + 3 * hop), both, (fast, False), one, other)
    store(sums, at, one)
    store(sums, at + LANES, other)


@inlined
def _turn_all(state: Any, n: int, width: int, turns: Any, fast: bool, sums: Any) -> None:
    """Apply RY to every qubit: near qubits on `ROWS_IN_CACHE` rows at a time. The sums take one vector a qubit."""
    size = rows = 1 << n
    first = 0
    while rows > ROWS_IN_CACHE:  # shifts by constants, since those by a variable cost half as much again at 4 qubits
        if rows > 2 * ROWS_IN_CACHE:
            _turn_two(state, 0, size, rows >> 2, width, turns, first, fast, sums)
            rows, first = rows >> 2, first + 2
        else:
            _turn_one(state, 0, size, rows >> 1, width, turns, first, fast, sums)
            rows, first = rows >> 1, first + 1
    for start in range(0, size, rows):
        near, q = rows, first
        while near > 1:
            if near > 2:
                _turn_two(state, start, start + rows, near >> 2, width, turns, q, fast, sums)
                near, q = near >> 2, q + 2
            else:
                _turn_one(state, start, start + rows, near >> 1, width, turns, q, fast, sums)
                near, q = near >> 1, q + 1


@compiled
def _correct_sums(sums: Any, at: int, n: int, turns: Any) -> None:
    """Multiply the sums of each qubit by the squared cosines of those undone before it, in the order of `_turn_all`."""
    gain, rows, q = splat(sums.dtype.type(1)), 1 << n, 0
    while q < n:
        count, square = 1 if rows == 2 or ROWS_IN_CACHE < rows <= 2 * ROWS_IN_CACHE else 2, multiply(gain, gain)
        for other in range(q, q + count):
            store(sums, at + other * LANES, multiply(square, load(sums, at + other * LANES)))
            gain = multiply(gain, load(turns, 2 * other * LANES))
        rows, q = rows >> count, q + count


@inlined
def _angle(code: Any, halves: Any, inputs: Any, angle: int, padded: int, tile: int) -> Any:
    """Return cosine and sine of half an angle, the upload's added to the trained one's."""
    turn, upload = (splat(halves[angle]), splat(halves[halves.size // 2 + angle])), code[code[TERMS] + angle]
    if upload >= 0:
        at = upload * padded + tile
        return _turned(turn[0], turn[1], load(inputs, at), load(inputs, code[UPLOADS] * padded + at), False)
    return turn


@compiled
def _find_turns(
    turns: Any, code: Any, halves: Any, inputs: Any, first: int, padded: int, tile: int, back: bool
) -> bool:
    """Write cosine and sine of half the angle of every qubit, or its tangent, and the scale; return if tangents."""
    # the scale, the product of the cosines or one, stands behind them; back, sines are negative
    n, one = code[QUBITS], splat(turns.dtype.type(1))
    product = one
    for q in range(n):
        c, s = _angle(code, halves, inputs, first + q, padded, tile)
        store(turns, 2 * q * LANES, c)
        store(turns, (2 * q + 1) * LANES, negative(s) if back else s)
        product = multiply(product, c)
    fast = not any_below(multiply(product, product), splat(turns.dtype.type(SMALLEST)))
    if fast:
        for q in range(n):
            c, s = _turn(turns, q)
            store(turns, (2 * q + 1) * LANES, divide(s, c))
    store(turns, 2 * n * LANES, product if fast else one)
    return fast


@apart
def _rotate(state: Any, width: int, code: Any, at: int, turn: Any, other: Any, sums: Any) -> None:
    """Apply a step of rotations by its table; with sums to the gradient too, whose width is 4."""
    kind, first, row, wide = code[at], code[TABLE] + code[at + 1], (width if sums is None else 4) * LANES, LANES
    both, total, last = turn + other, load(sums, code[at + 3] * LANES), load(sums, code[at + 4] * LANES)
    if kind == REAL:
        for place in range(first, first + 2 * code[at + 2], 2):
            i, k = code[place] * row, code[place + 1] * row
            total = _pair(state, i, k, turn, False, total)
            total = _pair(state, i + wide, k + wide, turn, False, total)
    elif kind == IMAGINARY:
        for place in range(first, first + 2 * code[at + 2], 2):
            i, k = code[place] * row, code[place + 1] * row
            total = _pair(state, i + wide, k, turn, False, total)
            total = _pair(state, k + wide, i, turn, False, total)
    else:
        plain, flipped = (False, False), (False, True)
        for place in range(first, first + 4 * code[at + 2], 4):
            i, j = code[place] * row, code[place + 1] * row
            k, m = code[place + 2] * row, code[place + 3] * row
            if kind == REAL_TWO:
                total, last = _four(state, (i, j, k, m), both, plain, total, last)
                total, last = _four(state, (i + wide, j + wide, k + wide, m + wide), both, plain, total, last)
            else:
                total, last = _four(state, (i + wide, j, k, m + wide), both, flipped, total, last)
                total, last = _four(state, (k + wide, m, i, j + wide), both, flipped, total, last)
        store(sums, code[at + 4] * LANES, last)
    store(sums, code[at + 3] * LANES, total)


@inlined
def _phase(state: Any, i: int, c: Any, s: Any) -> None:
    """Multiply one row by c + i s."""
    re, im = load(state, i), load(state, i + LANES)
    store(state, i, multiply_add(c, re, negative(multiply(s, im))))
    store(state, i + LANES, multiply_add(s, re, multiply(c, im)))


@inlined
def _undo_phase(state: Any, i: int, c: Any, s: Any) -> Any:
    """Multiply one row of state and gradient by c - i s; return the derivative by the phase, g_im re - g_re im."""
    re, im, g_re, g_im = load(state, i), load(state, i + LANES), load(state, i + 2 * LANES), load(state, i + 3 * LANES)
    store(state, i, multiply_add(c, re, multiply(s, im)))
    store(state, i + LANES, multiply_add(c, im, negative(multiply(s, re))))
    store(state, i + 2 * LANES, multiply_add(c, g_re, multiply(s, g_im)))
    store(state, i + 3 * LANES, multiply_add(c, g_im, negative(multiply(s, g_re))))
    return multiply_add(re, g_im, negative(multiply(im, g_re)))


@compiled
def _turn_phases(state: Any, size: int, width: int, phases: Any, first: int, scale: Any) -> None:
    """Multiply each amplitude by its phase and the scale."""
    sines = phases.size // 2 + first
    for d in range(size):
        c, s = multiply(scale, splat(phases[first + d])), multiply(scale, splat(phases[sines + d]))
        _phase(state, d * width * LANES, c, s)


@compiled
def _undo_phases(state: Any, size: int, phases: Any, first: int, scale: Any, sums: Any) -> None:
    """Undo one diagonal on state and gradient and scale both, after adding its angles' gradients to sums."""
    sines, square = phases.size // 2 + first, multiply(scale, scale)
    for d in range(size):
        c, s = multiply(scale, splat(phases[first + d])), multiply(scale, splat(phases[sines + d]))
        _add(sums, (first + d) * LANES, square, _undo_phase(state, d * 4 * LANES, c, s))


@compiled
def _scale(state: Any, size: int, width: int, parts: int, factor: Any) -> None:
    """Multiply the first parts of every row."""
    for row in range(size):
        for part in range(parts):
            i = (row * width + part) * LANES
            store(state, i, multiply(factor, load(state, i)))


@compiled
def _run(state: Any, width: int, code: Any, numbers: Any, padded: int, tile: int, turns: Any) -> None:
    """Compute the final state of the tokens from `tile` on."""
    (halves, phases, inputs), n, given = numbers, code[QUBITS], code[AMPLITUDES]
    size, zero, one = 1 << n, splat(state.dtype.type(0)), splat(state.dtype.type(1))
    for row in range(size):
        for part in range(2):
            store(state, (row * width + part) * LANES, zero)
    for row in range(given):
        store(state, row * width * LANES, load(inputs, (2 * code[UPLOADS] + row) * padded + tile))
    if given == 0:
        store(state, 0, one)
    scale = one
    for at in range(code[STEPS], code[TERMS], 5):
        kind, first = code[at], code[at + 3]
        if kind == TURN_ALL:
            fast = _find_turns(turns, code, halves, inputs, first, padded, tile, False)
            _turn_all(state, n, width, turns, fast, None)
            scale = load(turns, 2 * n * LANES)
            if at + 5 == code[TERMS] or code[at + 5] != DIAGONAL:
                _scale(state, size, width, 2, scale)
                scale = one
        elif kind == DIAGONAL:
            _turn_phases(state, size, width, phases, first * size, scale)
            scale = one
        else:
            turn = _angle(code, halves, inputs, first, padded, tile)
            if kind == DIAGONAL_OF_TOKEN:
                table = code[TABLE] + code[at + 1]
                for d in range(size):
                    if code[table + d] != 1:
                        _phase(
                            state, d * width * LANES, turn[0], turn[1] if code[table + d] == 2 else negative(turn[1])
                        )
            else:
                _rotate(state, width, code, at, turn, _angle(code, halves, inputs, code[at + 4], padded, tile), None)


@compiled
def _run_back(
    state: Any, code: Any, numbers: Any, padded: int, tile: int, turns: Any, sums: Any, of_phases: Any
) -> None:
    """Take state and gradient back to the start; add the derivatives by phases, and twice those by angles, to sums."""
    (halves, phases, inputs), n, one = numbers, code[QUBITS], splat(state.dtype.type(1))
    size, scale = 1 << n, one
    for at in range(code[TERMS] - 5, code[STEPS] - 1, -5):
        kind, first = code[at], code[at + 3]
        if kind == TURN_ALL:
            fast = _find_turns(turns, code, halves, inputs, first, padded, tile, True)
            _turn_all(state, n, 4, turns, fast, sums[first * LANES :])
            if fast:
                _correct_sums(sums, first * LANES, n, turns)
            scale = load(turns, 2 * n * LANES)
            if (at > code[STEPS] and code[at - 5] != DIAGONAL) or code[AMPLITUDES]:
                _scale(state, size, 4, 4, scale)
                scale = one
        elif kind == DIAGONAL:
            _undo_phases(state, size, phases, first * size, scale, of_phases)
            scale = one
        else:
            turn = _angle(code, halves, inputs, first, padded, tile)
            if kind == DIAGONAL_OF_TOKEN:
                table, total = code[TABLE] + code[at + 1], load(sums, first * LANES)
                for d in range(size):
                    if code[table + d] == 0:
                        total = subtract(total, _undo_phase(state, d * 4 * LANES, turn[0], negative(turn[1])))
                    elif code[table + d] == 2:
                        total = add(total, _undo_phase(state, d * 4 * LANES, turn[0], turn[1]))
                store(sums, first * LANES, total)
            else:
                other = _angle(code, halves, inputs, code[at + 4], padded, tile)
                turn, other = (turn[0], negative(turn[1])), (other[0], negative(other[1]))
                _rotate(state, 4, code, at, turn, other, sums)


@compiled
def _write(lanes: Any, vector: Any, values: Any, output: int, tile: int) -> None:
    store(lanes, 0, vector)
    for lane in range(min(LANES, values.shape[0] - tile)):
        values[tile + lane, output] = lanes[lane]


@compiled
def _write_values(state: Any, code: Any, values: Any, tile: int, lanes: Any, turns: Any) -> None:
    """Write what is measured; <Z_q> is the probability where q's bit is 0 minus that where it is 1."""
    size, mode, rows, zero = 1 << code[QUBITS], code[MODE], code[ROWS], splat(state.dtype.type(0))
    for d in range(size):
        i = 2 * code[rows + d] * LANES
        re, im = load(state, i), load(state, i + LANES)
        store(lanes, d * LANES, multiply_add(re, re, multiply(im, im)))
    if mode == PROBABILITIES:
        for d in range(size):
            _write(turns, load(lanes, d * LANES), values, d, tile)
    elif mode == EACH_Z:
        for q in range(values.shape[1] - 1, -1, -1):  # neighbours differ in the last qubit: their sum is without it
            size >>= 1
            total = zero
            for d in range(size):
                a, b = load(lanes, 2 * d * LANES), load(lanes, (2 * d + 1) * LANES)
                total = add(total, subtract(a, b))
                store(lanes, d * LANES, add(a, b))
            _write(turns, total, values, q, tile)
    else:
        place, stop = code[PAIRS], code[SIGNS]
        while place < stop:  # the rows of one output follow each other
            output, total = code[place], zero
            while place < stop and code[place] == output:
                i, k, entry = 2 * code[place + 1] * LANES, 2 * code[place + 2] * LANES, code[place + 3]
                a, b, e, g = load(state, i), load(state, i + LANES), load(state, k), load(state, k + LANES)
                # Re(conj(e + i g) (a + i b)), or the same of i (a + i b)
                part = (
                    multiply_add(a, e, multiply(b, g)) if entry % 2 == 0 else subtract(multiply(a, g), multiply(b, e))
                )
                total = add(total, part) if entry < 2 else subtract(total, part)
                place += 4
            _write(turns, add(total, total), values, output, tile)
        for number in range(code[PAIRS] - code[Z_OUTPUTS]):
            total, signs = zero, code[SIGNS] + number * size
            for d in range(size):
                square = load(lanes, d * LANES)
                total = add(total, square) if code[signs + code[rows + d]] > 0 else subtract(total, square)
            _write(turns, total, values, code[code[Z_OUTPUTS] + number], tile)


@compiled
def _start_gradient(state: Any, code: Any, gradient: Any, tile: int, lanes: Any) -> None:
    """Set dL/d psi = 2 sum over outputs k of g_k O_k psi; zero for padding lanes."""
    size, mode, rows, outputs = 1 << code[QUBITS], code[MODE], code[ROWS], gradient.shape[1]
    count, zero = min(LANES, gradient.shape[0] - tile), splat(state.dtype.type(0))
    twice = lanes[size * LANES :]
    for output in range(outputs):
        for lane in range(LANES):
            twice[output * LANES + lane] = 2 * gradient[tile + lane, output] if lane < count else 0
    for d in range(size):  # the weight of each basis state
        store(lanes, d * LANES, load(twice, d * LANES) if mode == PROBABILITIES else zero)
    if mode == EACH_Z:
        total = zero
        for q in range(outputs):
            total = add(total, load(twice, q * LANES))
        store(lanes, 0, total)
        for q in range(outputs):
            g, step = load(twice, q * LANES), size >> (q + 1)
            for d in range(0, size, 2 * step):
                store(lanes, (d + step) * LANES, subtract(load(lanes, d * LANES), add(g, g)))
    for number in range(code[PAIRS] - code[Z_OUTPUTS]):
        g, signs = load(twice, code[code[Z_OUTPUTS] + number] * LANES), code[SIGNS] + number * size
        for d in range(size):
            weight = load(lanes, d * LANES)
            store(lanes, d * LANES, add(weight, g) if code[signs + code[rows + d]] > 0 else subtract(weight, g))
    for d in range(size):
        i, weight = code[rows + d] * 4 * LANES, load(lanes, d * LANES)
        store(state, i + 2 * LANES, multiply(weight, load(state, i)))
        store(state, i + 3 * LANES, multiply(weight, load(state, i + LANES)))
    for place in range(code[PAIRS], code[SIGNS], 4):
        g = load(twice, code[place] * LANES)
        i, k, entry = code[place + 1] * 4 * LANES, code[place + 2] * 4 * LANES, code[place + 3]
        if entry > 1:
            g = negative(g)
        if entry % 2 == 0:  # O_ba = O_ab = 1
            for part in range(0, 2 * LANES, LANES):
                _add(state, i + 2 * LANES + part, g, load(state, k + part))
                _add(state, k + 2 * LANES + part, g, load(state, i + part))
        else:  # O_ba = i, O_ab = -i
            _add(state, i + 2 * LANES, g, load(state, k + LANES))
            _add(state, i + 3 * LANES, negative(g), load(state, k))
            _add(state, k + 2 * LANES, negative(g), load(state, i + LANES))
            _add(state, k + 3 * LANES, g, load(state, i))


@compiled
def _add(sums: Any, place: int, factor: Any, vector: Any) -> None:
    store(sums, place, multiply_add(factor, vector, load(sums, place)))


@compiled
def _add_lanes(sums: Any, result: Any) -> None:
    for i in range(result.size):
        total = sums[i * LANES]
        for lane in range(1, LANES):
            total += sums[i * LANES + lane]
        result[i] = total


@compiled
def _room(vectors: int, like: Any) -> Any:
    """Return room for vectors from the beginning of a cache line on; one across two lines takes twice as long."""
    found = np.empty((vectors + 1) * LANES, like.dtype)
    first = (-found.ctypes.data % 64) // found.itemsize
    return found[first : first + vectors * LANES]


@compiled
def _padded(tokens: int) -> int:
    return -(-tokens // LANES) * LANES


@compiled
def forward(values: Any, code: Any, halves: Any, phases: Any, inputs: Any, start: int, stop: int) -> None:
    """Write the outputs of the tokens from start to stop into values (tokens, outputs); code is `Program.code`."""
    # halves, phases, inputs: cosines, then sines, of half trained angles, phases (diagonals, 2^n), half uploads;
    # inputs then has amplitudes, each a row of padded tokens
    n, numbers, padded = code[QUBITS], (halves, phases, inputs), _padded(values.shape[0])
    state, lanes, turns = _room(2 << n, values), _room(1 << n, values), _room(2 * n + 1, values)
    for tile in range(start, stop, LANES):
        _run(state, 2, code, numbers, padded, tile, turns)
        _write_values(state, code, values, tile, lanes, turns)


@compiled
def backward(
    found: Any, gradient: Any, code: Any, halves: Any, phases: Any, inputs: Any, start: int, stop: int
) -> None:
    """Write gradients of the tokens from start to stop to uploads and amplitudes, and sums to angles and phases."""
    # found: (tokens, uploads + amplitudes), (angles,), (diagonals 2^n,); gradient (tokens, outputs); rest as `forward`
    (to_inputs, to_angles, to_phases), n, padded = found, code[QUBITS], _padded(gradient.shape[0])
    uploads, given, kind, numbers = code[UPLOADS], code[AMPLITUDES], gradient.dtype, (halves, phases, inputs)
    state, turns, lanes = (
        _room(4 << n, gradient),
        _room(2 * n + 1, gradient),
        _room((1 << n) + gradient.shape[1], gradient),
    )
    sums, of_uploads = _room(to_angles.size, gradient), _room(uploads, gradient)
    of_angles, of_phases = _room(to_angles.size, gradient), _room(to_phases.size, gradient)
    of_angles[:], of_phases[:], half = 0, 0, splat(kind.type(0.5))
    for tile in range(start, stop, LANES):
        _run(state, 4, code, numbers, padded, tile, turns)
        _start_gradient(state, code, gradient, tile, lanes)
        sums[:] = 0
        _run_back(state, code, numbers, padded, tile, turns, sums, of_phases)
        of_uploads[:] = 0
        for angle in range(to_angles.size):
            _add(of_angles, angle * LANES, half, load(sums, angle * LANES))
            upload = code[code[TERMS] + angle]
            if upload >= 0:
                _add(of_uploads, upload * LANES, half, load(sums, angle * LANES))
        for lane in range(min(LANES, stop - tile)):
            for upload in range(uploads):
                to_inputs[tile + lane, upload] = of_uploads[upload * LANES + lane]
            for row in range(given):
                to_inputs[tile + lane, uploads + row] = state[(row * 4 + 2) * LANES + lane]
    _add_lanes(of_angles, to_angles)
    _add_lanes(of_phases, to_phases)
