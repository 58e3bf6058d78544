"""TensorCircuit-NG: jax backend, jit, vmap over the tokens, a scan over the layers.

The scan is the package's own advice against long compilation: a layer is compiled once, in 3, 5, 8 s at n = 4, 6, 8.
The whole circuit as one compiles in 11 s at n = 4 and 72 s or more at n = 6.

What lost, in CPU milliseconds at n = 4, 6, 8 (L = n, 512 tokens, float32):

    4.0  20  125    what is here
    4.0             the whole circuit as one; at n = 6 it took 17 where the scan took 20 in the same conditions
    4.9  21         the whole circuit as one, n calls of expectation_ps in place of the state's probabilities
         20  120    two layers a step of the scan, which takes half as long again to compile
"""

import jax
import jax.numpy as jnp
import numpy as np
import tensorcircuit as tc
from benchmarks.peers.jax_gradients import Run, allow_type_of, forward_backward
from benchmarks.peers.rows import Row, angles_of, end_of, layer_of
from benchmarks.peers.tensorcircuit_layer import apply, use
from benchmarks.peers.z_signs import z_signs


def build(circuit: str, qubits: int, layers: int, x: np.ndarray, t: np.ndarray, w: np.ndarray) -> Run:
    allow_type_of(x)
    backend = use("jax", x.dtype)
    signs = jnp.asarray(z_signs(qubits, x.dtype))
    start = jnp.zeros(2**qubits, jnp.result_type(signs, jnp.complex64)).at[0].set(1)

    per_layer, _ = angles_of(circuit, qubits, layers)
    layer_rows, end_rows = layer_of(circuit, qubits), end_of(circuit, qubits)

    def after(rows: list[Row], state: jax.Array, inputs: jax.Array, angles: jax.Array) -> jax.Array:
        made = tc.Circuit(qubits, inputs=state)
        apply(made, rows, inputs, angles)
        return made.state()

    def one_token(inputs: jax.Array, angles: jax.Array) -> jax.Array:
        def step(state: jax.Array, layer: jax.Array) -> jax.Array:
            return after(layer_rows, state, inputs, layer)

        state = backend.scan(step, angles[: layers * per_layer].reshape(layers, -1), start)
        if end_rows:
            state = after(end_rows, state, inputs, angles[layers * per_layer :])
        return (backend.real(state) ** 2 + backend.imag(state) ** 2) @ signs

    return forward_backward(backend.vmap(one_token, vectorized_argnums=0), x, t, w)
