"""CPU kernels of `program`: as many tokens at a time as a vector register has lanes, as in `kernels`."""

from pathlib import Path
from typing import Any

import numpy as np

from qweft.circuit.program import DIAGONAL, DIAGONAL_OF_TOKEN, IMAGINARY, REAL, REAL_TWO
from qweft.circuit.vector import LANES, add, load, multiply, multiply_add, negative, splat, store, stored_by, subtract

FILES = [Path(__file__).with_name(f"{name}.py") for name in ("vector", "program_kernels")]
compiled = stored_by(*FILES, nogil=True, error_model="numpy", boundscheck=False)
_apart = stored_by(*FILES, nogil=True, error_model="numpy", boundscheck=False, inline="never")


@compiled
def _mixed(a: Any, b: Any, c: Any, s: Any) -> Any:
    """Return c a + s b."""
    return multiply_add(s, b, multiply(c, a))


@compiled
def _cross(total: Any, a: Any, b: Any, e: Any, g: Any) -> Any:
    """Return total + a b - e g."""
    return multiply_add(negative(e), g, multiply_add(a, b, total))


@compiled
def _pair(state: Any, i: int, k: int, c: Any, s: Any) -> None:
    """Turn two vectors: c a - s b and c b + s a."""
    a, b = load(state, i), load(state, k)
    store(state, i, _mixed(a, b, c, negative(s)))
    store(state, k, _mixed(b, a, c, s))


@compiled
def _four(state: Any, i: int, j: int, k: int, m: int, c: Any, s: Any, d: Any, t: Any) -> None:
    """Turn (i, k) and (j, m) by c and s, then (i, j) and (k, m) by d and t."""
    down, sink = negative(s), negative(t)
    a, b, e, g = load(state, i), load(state, j), load(state, k), load(state, m)
    a, e = _mixed(a, e, c, down), _mixed(e, a, c, s)
    b, g = _mixed(b, g, c, down), _mixed(g, b, c, s)
    store(state, i, _mixed(a, b, d, sink))
    store(state, j, _mixed(b, a, d, t))
    store(state, k, _mixed(e, g, d, sink))
    store(state, m, _mixed(g, e, d, t))


@compiled
def _pair_by_x(state: Any, i: int, k: int, c: Any, s: Any) -> None:
    """Turn two complex vectors: c a - i s b and c b - i s a."""
    down = negative(s)
    a, b, e, g = load(state, i), load(state, i + LANES), load(state, k), load(state, k + LANES)
    store(state, i, _mixed(a, g, c, s))
    store(state, i + LANES, _mixed(b, e, c, down))
    store(state, k, _mixed(e, b, c, s))
    store(state, k + LANES, _mixed(g, a, c, down))


@compiled
def _four_by_x(state: Any, i: int, j: int, k: int, m: int, c: Any, s: Any, d: Any, t: Any) -> None:
    """Turn (i, k) and (j, m) by c and s, then (i, j) and (k, m) by d and t, as `_pair_by_x`."""
    down, sink = negative(s), negative(t)
    ar, ai, br, bi = load(state, i), load(state, i + LANES), load(state, j), load(state, j + LANES)
    er, ei, gr, gi = load(state, k), load(state, k + LANES), load(state, m), load(state, m + LANES)
    ar, ai, er, ei = _mixed(ar, ei, c, s), _mixed(ai, er, c, down), _mixed(er, ai, c, s), _mixed(ei, ar, c, down)
    br, bi, gr, gi = _mixed(br, gi, c, s), _mixed(bi, gr, c, down), _mixed(gr, bi, c, s), _mixed(gi, br, c, down)
    store(state, i, _mixed(ar, bi, d, t))
    store(state, i + LANES, _mixed(ai, br, d, sink))
    store(state, j, _mixed(br, ai, d, t))
    store(state, j + LANES, _mixed(bi, ar, d, sink))
    store(state, k, _mixed(er, gi, d, t))
    store(state, k + LANES, _mixed(ei, gr, d, sink))
    store(state, m, _mixed(gr, ei, d, t))
    store(state, m + LANES, _mixed(gi, er, d, sink))


@compiled
def _phase(state: Any, i: int, c: Any, s: Any) -> None:
    """Multiply one row by c + i s."""
    re, im = load(state, i), load(state, i + LANES)
    store(state, i, _mixed(re, im, c, negative(s)))
    store(state, i + LANES, _mixed(im, re, c, s))


@_apart
def _apply(state: Any, width: int, step: Any, table: Any, turns: Any, phases: Any) -> None:
    """Apply one step to the state."""
    kind, first, count, angle = step[0], step[1], step[2], step[3]
    row = width * LANES
    if kind == DIAGONAL:
        for d in range(count):
            _phase(state, d * row, splat(phases[0, angle, d]), splat(phases[1, angle, d]))
        return
    c, s = load(turns, 2 * angle * LANES), load(turns, (2 * angle + 1) * LANES)
    if kind == REAL:
        for place in range(first, first + 2 * count, 2):
            i, k = table[place] * row, table[place + 1] * row
            _pair(state, i, k, c, s)
            _pair(state, i + LANES, k + LANES, c, s)
    elif kind == IMAGINARY:
        for place in range(first, first + 2 * count, 2):
            _pair_by_x(state, table[place] * row, table[place + 1] * row, c, s)
    elif kind == DIAGONAL_OF_TOKEN:
        down = negative(s)
        for d in range(count):
            if table[first + d] == 0:
                _phase(state, d * row, c, down)
            elif table[first + d] == 2:
                _phase(state, d * row, c, s)
    else:
        d, t = load(turns, (2 * angle + 2) * LANES), load(turns, (2 * angle + 3) * LANES)
        for place in range(first, first + 4 * count, 4):
            i, j = table[place] * row, table[place + 1] * row
            k, m = table[place + 2] * row, table[place + 3] * row
            if kind == REAL_TWO:
                _four(state, i, j, k, m, c, s, d, t)
                _four(state, i + LANES, j + LANES, k + LANES, m + LANES, c, s, d, t)
            else:
                _four_by_x(state, i, j, k, m, c, s, d, t)


@compiled
def _between(total: Any, state: Any, i: int, k: int, by_y: bool) -> Any:
    """Return total + twice the derivative of two rows' part of the loss by their rotation's angle."""
    g, h = i + 2 * LANES, k + 2 * LANES
    if by_y:  # g_1 psi_0 - g_0 psi_1
        total = _cross(total, load(state, h), load(state, i), load(state, g), load(state, k))
        g, h, i, k = g + LANES, h + LANES, i + LANES, k + LANES
        return _cross(total, load(state, h), load(state, i), load(state, g), load(state, k))
    total = _cross(total, load(state, g), load(state, k + LANES), load(state, g + LANES), load(state, k))
    return _cross(total, load(state, h), load(state, i + LANES), load(state, h + LANES), load(state, i))


@compiled
def _turned(state: Any, i: int) -> Any:
    """Return g_im re - g_re im of a row, the derivative of its part of the loss by its phase."""
    re, im = load(state, i), load(state, i + LANES)
    return subtract(multiply(load(state, i + 3 * LANES), re), multiply(load(state, i + 2 * LANES), im))


@_apart
def _undo(state: Any, step: Any, table: Any, turns: Any, phases: Any, sums: Any, of_phases: Any) -> None:
    """Undo one step on state and gradient (width 4), after adding twice the derivatives by its angles to the sums."""
    kind, first, count, angle = step[0], step[1], step[2], step[3]
    row, half = 4 * LANES, 2 * LANES
    if kind == DIAGONAL:
        for d in range(count):
            i, at = d * row, (angle * count + d) * LANES
            store(of_phases, at, add(load(of_phases, at), _turned(state, i)))
            c, s = splat(phases[0, angle, d]), negative(splat(phases[1, angle, d]))
            _phase(state, i, c, s)
            _phase(state, i + half, c, s)
        return
    c, s = load(turns, 2 * angle * LANES), negative(load(turns, (2 * angle + 1) * LANES))
    total = load(sums, angle * LANES)
    if kind == REAL:
        for place in range(first, first + 2 * count, 2):
            i, k = table[place] * row, table[place + 1] * row
            total = _between(total, state, i, k, True)
            for at in range(0, row, LANES):
                _pair(state, i + at, k + at, c, s)
    elif kind == IMAGINARY:
        for place in range(first, first + 2 * count, 2):
            i, k = table[place] * row, table[place + 1] * row
            total = _between(total, state, i, k, False)
            _pair_by_x(state, i, k, c, s)
            _pair_by_x(state, i + half, k + half, c, s)
    elif kind == DIAGONAL_OF_TOKEN:
        up = negative(s)
        for d in range(count):
            i = d * row
            if table[first + d] == 0:
                total = subtract(total, _turned(state, i))
                _phase(state, i, c, up)
                _phase(state, i + half, c, up)
            elif table[first + d] == 2:
                total = add(total, _turned(state, i))
                _phase(state, i, c, s)
                _phase(state, i + half, c, s)
    else:
        d, t = load(turns, (2 * angle + 2) * LANES), negative(load(turns, (2 * angle + 3) * LANES))
        other = load(sums, (angle + 1) * LANES)
        for place in range(first, first + 4 * count, 4):
            i, j = table[place] * row, table[place + 1] * row
            k, m = table[place + 2] * row, table[place + 3] * row
            by_y = kind == REAL_TWO
            total = _between(_between(total, state, i, k, by_y), state, j, m, by_y)
            other = _between(_between(other, state, i, j, by_y), state, k, m, by_y)
            if by_y:
                for at in range(0, row, LANES):
                    _four(state, i + at, j + at, k + at, m + at, c, s, d, t)
            else:
                _four_by_x(state, i, j, k, m, c, s, d, t)
                _four_by_x(state, i + half, j + half, k + half, m + half, c, s, d, t)
        store(sums, (angle + 1) * LANES, other)
    store(sums, angle * LANES, total)


@compiled
def _find_turns(turns: Any, terms: Any, halves: Any, uploads: Any, tile: int) -> None:
    """Write cosine and sine of half of each angle, the upload's added to the trained one's."""
    for angle in range(terms.size):
        c, s = splat(halves[0, angle]), splat(halves[1, angle])
        if terms[angle] >= 0:
            x_c, x_s = load(uploads[0, terms[angle]], tile), load(uploads[1, terms[angle]], tile)
            c, s = _mixed(c, s, x_c, negative(x_s)), _mixed(s, c, x_c, x_s)
        store(turns, 2 * angle * LANES, c)
        store(turns, (2 * angle + 1) * LANES, s)


@compiled
def _run(
    state: Any, size: int, width: int, steps: Any, table: Any, turns: Any, phases: Any, amplitudes: Any, tile: int
) -> None:
    """Compute the final state of the tokens from `tile` on."""
    kind = state.dtype
    for row in range(size):
        i = row * width * LANES
        if row < amplitudes.shape[0]:
            store(state, i, load(amplitudes[row], tile))
        else:
            store(state, i, splat(kind.type(row == 0 and amplitudes.shape[0] == 0)))
        store(state, i + LANES, splat(kind.type(0)))
    for number in range(steps.shape[0]):
        _apply(state, width, steps[number], table, turns, phases)


@compiled
def _write(lanes: Any, vector: Any, values: Any, output: int, tile: int) -> None:
    store(lanes, 0, vector)
    for lane in range(min(LANES, values.shape[0] - tile)):
        values[tile + lane, output] = lanes[lane]


@compiled
def _square(state: Any, row: int) -> Any:
    re, im = load(state, 2 * row * LANES), load(state, (2 * row + 1) * LANES)
    return multiply_add(re, re, multiply(im, im))


@compiled
def _write_values(state: Any, size: int, values: Any, tile: int, measured: Any, lanes: Any) -> None:
    """Write what is measured; the rows of the state stay."""
    signs, z_outputs, pairs, probabilities = measured
    zero = splat(state.dtype.type(0))
    for number in range(probabilities.size):
        _write(lanes, _square(state, probabilities[number]), values, number, tile)
    place = 0
    while place < pairs.shape[0]:  # the rows of one output follow each other
        output, total = pairs[place, 0], zero
        while place < pairs.shape[0] and pairs[place, 0] == output:
            i, k, entry = 2 * pairs[place, 1] * LANES, 2 * pairs[place, 2] * LANES, pairs[place, 3]
            a, b, e, g = load(state, i), load(state, i + LANES), load(state, k), load(state, k + LANES)
            # Re(conj(e + i g) (a + i b)), or the same of i (a + i b)
            part = multiply_add(a, e, multiply(b, g)) if entry % 2 == 0 else subtract(multiply(a, g), multiply(b, e))
            total = add(total, part) if entry < 2 else subtract(total, part)
            place += 1
        _write(lanes, add(total, total), values, output, tile)
    if z_outputs.size == 0:
        return
    for number in range(z_outputs.size):
        store(lanes, (number + 1) * LANES, zero)
    for row in range(size):
        square = _square(state, row)
        for number in range(z_outputs.size):
            at = (number + 1) * LANES
            total = load(lanes, at)
            store(lanes, at, add(total, square) if signs[number, row] > 0 else subtract(total, square))
    for number in range(z_outputs.size):
        _write(lanes, load(lanes, (number + 1) * LANES), values, z_outputs[number], tile)


@compiled
def _start_gradient(state: Any, size: int, gradient: Any, tile: int, measured: Any, lanes: Any) -> None:
    """Set dL/d psi = 2 sum over outputs k of g_k O_k psi; zero for padding lanes."""
    signs, z_outputs, pairs, probabilities = measured
    count = min(LANES, gradient.shape[0] - tile)
    for output in range(gradient.shape[1]):
        for lane in range(LANES):
            lanes[output * LANES + lane] = 2 * gradient[tile + lane, output] if lane < count else 0
    for row in range(size):
        i, weight = row * 4 * LANES, splat(state.dtype.type(0))
        for number in range(z_outputs.size):
            g = load(lanes, z_outputs[number] * LANES)
            weight = add(weight, g) if signs[number, row] > 0 else subtract(weight, g)
        store(state, i + 2 * LANES, multiply(weight, load(state, i)))
        store(state, i + 3 * LANES, multiply(weight, load(state, i + LANES)))
    for number in range(probabilities.size):
        i, weight = probabilities[number] * 4 * LANES, load(lanes, number * LANES)
        store(state, i + 2 * LANES, multiply(weight, load(state, i)))
        store(state, i + 3 * LANES, multiply(weight, load(state, i + LANES)))
    for place in range(pairs.shape[0]):
        g = load(lanes, pairs[place, 0] * LANES)
        i, k, entry = pairs[place, 1] * 4 * LANES, pairs[place, 2] * 4 * LANES, pairs[place, 3]
        if entry > 1:
            g = negative(g)
        a, b, e, h = load(state, i), load(state, i + LANES), load(state, k), load(state, k + LANES)
        if entry % 2 == 0:  # O_ba = O_ab = 1
            _add(state, i + 2 * LANES, g, e)
            _add(state, i + 3 * LANES, g, h)
            _add(state, k + 2 * LANES, g, a)
            _add(state, k + 3 * LANES, g, b)
        else:  # O_ba = i, O_ab = -i
            _add(state, i + 2 * LANES, g, h)
            _add(state, i + 3 * LANES, negative(g), e)
            _add(state, k + 2 * LANES, negative(g), b)
            _add(state, k + 3 * LANES, g, a)


@compiled
def _add(state: Any, place: int, factor: Any, vector: Any) -> None:
    store(state, place, multiply_add(factor, vector, load(state, place)))


@compiled
def _of_lanes(sums: Any, place: int) -> Any:
    total = sums[place * LANES]
    for lane in range(1, LANES):
        total += sums[place * LANES + lane]
    return total


@compiled
def forward(values: Any, size: int, program: Any, numbers: Any, measured: Any, start: int, stop: int) -> None:
    """Write the outputs of the tokens from start to stop into values (tokens, outputs).

    Args:
        values: (tokens, outputs).
        size: 2^n.
        program: `steps`, `table` and `terms` of a `Program`.
        numbers: Cosines and sines of half the trained angles (2, angles), half the uploads (2, uploads, padded tokens)
            and the phases (2, diagonals, 2^n); amplitudes (amplitudes, padded tokens).
        measured: `signs`, `z_outputs`, `pairs` and `probabilities` of a `Program`.
        start: First token.
        stop: The token after the last.
    """
    (steps, table, terms), (halves, uploads, phases, amplitudes) = program, numbers
    state = np.empty(2 * size * LANES, values.dtype)
    turns = np.empty((2 * terms.size + 2) * LANES, values.dtype)
    lanes = np.empty((values.shape[1] + 1) * LANES, values.dtype)
    for tile in range(start, stop, LANES):
        _find_turns(turns, terms, halves, uploads, tile)
        _run(state, size, 2, steps, table, turns, phases, amplitudes, tile)
        _write_values(state, size, values, tile, measured, lanes)


@compiled
def backward(
    found: Any, gradient: Any, size: int, program: Any, numbers: Any, measured: Any, start: int, stop: int
) -> None:
    """Compute gradients of the tokens from start to stop; those of angles and phases are summed over tokens.

    Args:
        found: Gradients to write: of uploads (tokens, uploads), amplitudes (tokens, amplitudes), angles (angles,) and
            phases (diagonals 2^n,).
        gradient: (tokens, outputs).
        size: As in `forward`, like the rest.
        program: See there.
        numbers: See there.
        measured: See there.
        start: See there.
        stop: See there.
    """
    to_uploads, to_amplitudes, to_angles, to_phases = found
    (steps, table, terms), (halves, uploads, phases, amplitudes) = program, numbers
    state = np.empty(4 * size * LANES, gradient.dtype)
    turns = np.empty((2 * terms.size + 2) * LANES, gradient.dtype)
    lanes = np.empty((gradient.shape[1] + 1) * LANES, gradient.dtype)
    sums = np.empty((terms.size + 1) * LANES, gradient.dtype)
    of_phases = np.zeros(max(to_phases.size, 1) * LANES, gradient.dtype)
    for tile in range(start, stop, LANES):
        _find_turns(turns, terms, halves, uploads, tile)
        _run(state, size, 4, steps, table, turns, phases, amplitudes, tile)
        _start_gradient(state, size, gradient, tile, measured, lanes)
        sums[:] = 0
        for number in range(steps.shape[0] - 1, -1, -1):
            _undo(state, steps[number], table, turns, phases, sums, of_phases)
        count = min(LANES, stop - tile)
        for lane in range(count):
            to_uploads[tile + lane, :] = 0
        for angle in range(terms.size):
            to_angles[angle] += _of_lanes(sums, angle) / 2
            if terms[angle] >= 0:
                for lane in range(count):
                    to_uploads[tile + lane, terms[angle]] += sums[angle * LANES + lane] / 2
        for row in range(amplitudes.shape[0]):
            for lane in range(count):
                to_amplitudes[tile + lane, row] = state[(row * 4 + 2) * LANES + lane]
    for place in range(to_phases.size):
        to_phases[place] = _of_lanes(of_phases, place)
