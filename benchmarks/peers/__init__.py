"""Other packages that compute the same circuit, each as a process with one protocol, so that one run times them all.

A peer is a module of this folder with a function

    build(circuit, qubits, layers, x, t, w) -> run,    run() -> (values, grad_x, grad_t)

The circuit is one of `rows.CIRCUITS`. x (tokens, n), t (angles,) and w (tokens, n) are NumPy arrays of the type to
compute in. `build` brings them into the package's own form and describes the circuit; `run` is what is timed: the
expectation of Z on each qubit, and the gradients of their sum weighted by w. A module whose package takes the tokens
one by one also says TIMED_TOKENS, how many of them a timed run takes at most.
"""

PEERS = (
    "qweft",
    "gate_by_gate",
    "pennylane_torch",
    "pennylane_lightning",
    "pennylane_jax",
    "tensorcircuit_torch",
    "tensorcircuit_jax",
    "torchquantum",
    "deepquantum",
    "pyqtorch",
    "torq",
    "fastqml",
    "qandle",
    "flagquantum",
)
"""Modules of this folder that are peers. The first is what the others are compared with."""

FLOAT32_ONLY = ("torchquantum", "qandle")
"""Peers that have no float64."""


def types_of(peer: str) -> tuple[str, ...]:
    """The types that the peer computes in."""
    return ("float32",) if peer in FLOAT32_ONLY else ("float32", "float64")
