"""The entanglement of a pure state."""

import torch


def meyer_wallach(states: torch.Tensor) -> torch.Tensor:
    """Q = 2 (1 - 1/n sum_k tr rho_k^2), rho_k the state of qubit k alone: 0 for a product state, 1 for GHZ.

    Args:
        states: (tokens, 2^n) amplitudes of norm 1; qubit 0 is the most significant bit.

    Returns:
        (tokens,), in [0, 1]; 0 for a single qubit.

    Source: Meyer & Wallach, J. Math. Phys. 43, 4273 (2002), in the form of Brennen, Quantum Inf. Comput. 3, 619 (2003).
    """
    tokens, n = states.shape[0], states.shape[1].bit_length() - 1
    purities = []
    for qubit in range(n):
        split = states.reshape(tokens, 2**qubit, 2, -1).transpose(1, 2).flatten(2)  # (tokens, 2, 2^(n - 1))
        reduced = split @ split.mH
        purities.append(reduced.abs().square().sum((1, 2)))
    return (2 * (1 - torch.stack(purities, 1).mean(1))).clamp(0, 1)  # rounding alone leads out of it
