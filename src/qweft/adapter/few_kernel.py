"""CPU kernels for every generated token: a whole branch, s E(core(C x)) added to y."""

from typing import Any

import numba
import numpy as np

from qweft.adapter.cores import SMALLEST
from qweft.circuit.cpu.token_kernel import find_values
from qweft.circuit.cpu.vector import LANES, compiled, load, multiply_add, numbers_at, splat, store

carray = numba.carray

PLAIN, CIRCUIT, WITH_INPUT, WEIGHTED, GATED = range(5)
"""What the features f are: c; q(c); q(c) and c; q(c) c; (1 + Q q(t)) c."""
SIZES = 11
"""Entries before the uploads in what describes a branch."""


@compiled
def _compress(c: Any, x: Any, tokens: int, d_in: int, r: int, numbers: Any, lanes: Any) -> None:
    """Write C x of every token into c, r entries a token; C comes first in numbers."""
    whole = d_in - d_in % LANES
    for token in range(tokens):
        at = token * d_in
        for k in range(0, r, 4):
            two, three, four = min(k + 1, r - 1) * d_in, min(k + 2, r - 1) * d_in, min(k + 3, r - 1) * d_in
            a = b = d = e = splat(numbers.dtype.type(0))
            for i in range(0, whole, LANES):
                part = load(x, at + i)
                a = multiply_add(part, load(numbers, k * d_in + i), a)
                b = multiply_add(part, load(numbers, two + i), b)
                d = multiply_add(part, load(numbers, three + i), d)
                e = multiply_add(part, load(numbers, four + i), e)
            store(lanes, 0, a)
            store(lanes, LANES, b)
            store(lanes, 2 * LANES, d)
            store(lanes, 3 * LANES, e)
            for row in range(min(4, r - k)):
                total = numbers.dtype.type(0)
                for lane in range(LANES):
                    total += lanes[row * LANES + lane]
                for i in range(whole, d_in):
                    total += x[at + i] * numbers[(k + row) * d_in + i]
                c[token * r + k + row] = total


@compiled
def _expand(out: Any, y: Any, tokens: int, d_out: int, width: int, f: Any, numbers: Any, start: int) -> None:
    """Write y + E f of the tokens into out; E stands in numbers from `start` on, one row of d_out a feature."""
    whole = d_out - d_out % LANES
    for token in range(tokens):
        at = token * d_out
        for i in range(0, whole, LANES):
            total = load(y, at + i)
            for k in range(width):
                total = multiply_add(splat(f[token * width + k]), load(numbers, start + k * d_out + i), total)
            store(out, at + i, total)
        for i in range(whole, d_out):
            rest = y[at + i]
            for k in range(width):
                rest += f[token * width + k] * numbers[start + k * d_out + i]
            out[at + i] = rest


@compiled
def _angles(inputs: Any, c: Any, at: int, n: int, gain: float, form: int) -> None:
    """Write cosines and sines of the half angles of the token whose c starts at `at`."""
    kind = c.dtype
    half = kind.type(gain) / kind.type(2)
    if form == GATED:  # by the rms of the entries read
        square = kind.type(0)
        for q in range(n):
            square += c[at + q] * c[at + q]
        half /= np.sqrt(square / kind.type(n) + kind.type(SMALLEST))
    for q in range(n):
        inputs[q] = np.cos(c[at + q] * half)
        inputs[n + q] = np.sin(c[at + q] * half)


@compiled
def _features(f: Any, at: int, c: Any, first: int, values: Any, r: int, n: int, form: int, q: Any, start: int) -> None:
    """Write a token's features from its c and q(c); Q (r, n) of GATED stands in q from `start` on."""
    if form in (CIRCUIT, WITH_INPUT):
        for k in range(n):
            f[at + k] = values[k]
        if form == WITH_INPUT:
            for k in range(r):
                f[at + n + k] = c[first + k]
    elif form == WEIGHTED:
        for k in range(r):
            f[at + k] = values[k] * c[first + k] if k < n else c[first + k]
    else:
        for k in range(r):
            factor = c.dtype.type(1)
            for j in range(n):
                factor += q[start + k * n + j] * values[j]
            f[at + k] = factor * c[first + k]


@compiled
def _add(out: Any, y: Any, x: Any, tokens: int, scaling: float, gain: float, shape: Any, floats: Any) -> None:
    d_in, d_out, r, n, width, form = shape[0], shape[1], shape[2], shape[3], shape[4], shape[5]
    uploads, kind = shape[SIZES:], floats.dtype
    numbers, rotations = floats[: shape[6]], floats[shape[6] : shape[7]]
    diagonals, signs = floats[shape[7] : shape[8]], floats[shape[8] :]
    c, lanes = np.empty(tokens * r, kind), np.empty(4 * LANES, kind)
    _compress(c, x, tokens, d_in, r, numbers, lanes)
    if form == PLAIN:
        f = c
    else:
        f = np.empty(tokens * width, kind)
        state = np.empty(2 * max(1 << n, LANES), kind)
        inputs, turns, values = np.empty(2 * n, kind), np.empty(2 * n, kind), np.empty(n, kind)
        for token in range(tokens):
            _angles(inputs, c, token * r, n, gain, form)
            find_values(values, n, uploads, rotations, diagonals, signs, inputs, state, turns)
            _features(f, token * width, c, token * r, values, r, n, form, numbers, r * d_in + width * d_out)
    for k in range(tokens * width):
        f[k] *= kind.type(scaling)
    _expand(out, y, tokens, d_out, width, f, numbers, r * d_in)


@compiled
def add_branch(out: int, y: int, x: int, tokens: int, scaling: float, gain: float, branch: int, entries: int) -> None:
    """Write y + s E(core(C x)) into out; addresses, of contiguous memory, pass ten times as fast as arrays."""
    shape = carray(numbers_at(branch, np.int64(0)), entries)
    zero = np.float32(0)
    floats = carray(numbers_at(shape[10], zero), shape[9])
    to, given = carray(numbers_at(out, zero), tokens * shape[1]), carray(numbers_at(y, zero), tokens * shape[1])
    _add(to, given, carray(numbers_at(x, zero), tokens * shape[0]), tokens, scaling, gain, shape, floats)
