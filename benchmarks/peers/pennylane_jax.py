"""PennyLane: default.qubit, jax interface, backprop, jit; broadcast over the tokens, a scan over the layers.

Each layer is a circuit that starts from the state the last one left, so that a layer is compiled once, in 3, 6, 9 s at
n = 4, 6, 8. The whole circuit as one compiles in 10 s at n = 4 and took 43 and 245 s at n = 6 and 8.

What lost, in CPU milliseconds at n = 4, 6, 8 (L = n, 512 tokens, float32):

    4.3  45  318    what is here
    4.4  44  319    jax.vmap over the tokens in place of broadcasting
    6.2  56  426    the same, with a layer computed again in the backward pass (jax.checkpoint), for less memory
    4.9             the whole circuit as one; with n expvals in place of probabilities 5.0
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pennylane as qml
from benchmarks.peers.jax_gradients import Run, allow_type_of, forward_backward
from benchmarks.peers.pennylane_layer import apply
from benchmarks.peers.rows import Row, angles_of, end_of, layer_of
from benchmarks.peers.z_signs import z_signs


def build(circuit: str, qubits: int, layers: int, x: np.ndarray, t: np.ndarray, w: np.ndarray) -> Run:
    allow_type_of(x)
    signs = jnp.asarray(z_signs(qubits, x.dtype))
    start = jnp.zeros((len(x), 2**qubits), jnp.result_type(signs, jnp.complex64)).at[:, 0].set(1)

    per_layer, _ = angles_of(circuit, qubits, layers)
    layer_rows, end_rows = layer_of(circuit, qubits), end_of(circuit, qubits)

    def after(rows: list[Row]) -> Any:
        @qml.qnode(qml.device("default.qubit", wires=qubits), interface="jax", diff_method="backprop")
        def state_after(state: jax.Array, inputs: jax.Array, angles: jax.Array) -> Any:
            qml.StatePrep(state, wires=range(qubits), validate_norm=False)
            apply(rows, inputs, angles)
            return qml.state()

        return state_after

    after_layer, after_end = after(layer_rows), after(end_rows)

    def function(inputs: jax.Array, angles: jax.Array) -> jax.Array:
        def step(state: jax.Array, layer: jax.Array) -> tuple[jax.Array, None]:
            return after_layer(state, inputs, layer), None

        inner = angles[: layers * per_layer].reshape(layers, -1)
        state, _ = jax.lax.scan(step, start, inner)
        if end_rows:
            state = after_end(state, inputs, angles[layers * per_layer :])
        return (state.real**2 + state.imag**2) @ signs

    return forward_backward(function, x, t, w)
