"""What every peer with a jax interface does around its circuit."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

Run = Callable[[], tuple[jax.Array, jax.Array, jax.Array]]


def allow_type_of(array: np.ndarray) -> None:
    """jax computes in 32 bits unless told otherwise, before it meets the first array."""
    jax.config.update("jax_enable_x64", array.dtype == np.float64)


def forward_backward(
    function: Callable[[jax.Array, jax.Array], jax.Array], x: np.ndarray, t: np.ndarray, w: np.ndarray
) -> Run:
    """A compiled run of function(inputs, angles) -> (tokens, n) and of its gradients."""
    inputs, angles, weights = jnp.asarray(x), jnp.asarray(t), jnp.asarray(w)

    def weighted(inputs: jax.Array, angles: jax.Array) -> tuple[jax.Array, jax.Array]:
        values = function(inputs, angles)
        return (weights * values).sum(), values

    compiled = jax.jit(jax.value_and_grad(weighted, argnums=(0, 1), has_aux=True))

    def run() -> tuple[jax.Array, jax.Array, jax.Array]:
        (_, values), (grad_x, grad_t) = compiled(inputs, angles)
        return jax.block_until_ready((values, grad_x, grad_t))

    return run
