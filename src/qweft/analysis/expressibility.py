"""How much of the space of states a set of states covers, against states drawn at random."""

import math
from functools import lru_cache

import torch

from qweft.circuit import Circuit, final_states

BINS = 75
"""Bins of the histogram of fidelities, as in the source."""


def fidelities(states: torch.Tensor) -> torch.Tensor:
    """|<a|b>|^2 of all pairs of different rows.

    Args:
        states: (m, 2^n) amplitudes.

    Returns:
        (m (m - 1) / 2,).
    """
    one, other = torch.triu_indices(len(states), len(states), 1)
    return (states.conj() @ states.T)[one, other].abs().square().clamp(max=1)


def haar_log_shares(dimension: int, bins: int = BINS) -> torch.Tensor:
    """Logarithm of the share of each bin [l, u) under Haar's density of fidelities.

        P(F) = (N - 1) (1 - F)^(N - 2),   share = (1 - l)^(N - 1) - (1 - u)^(N - 1)

    In logarithms, for at 10 qubits the last bin's share is below the smallest number of float64.
    """
    edges = torch.linspace(0, 1, bins + 1, dtype=torch.float64)
    below, above = torch.log1p(-edges[:-1]) * (dimension - 1), torch.log1p(-edges[1:]) * (dimension - 1)
    return below + torch.log1p(-(above - below).exp())


def divergence_from_haar(found: torch.Tensor, dimension: int, bins: int = BINS) -> float:
    """KL(P || Haar) in nats, P the histogram of fidelities: 0 where states are spread as random ones are.

        sum over bins of P_b ln(P_b / Haar_b);   (N - 1) ln(bins) where all states are one

    A histogram of m independent pairs lies too high by about (occupied bins - 1) / (2 m) nats; pairs among few states
    are not independent, and lie higher.

    Args:
        found: Fidelities.
        dimension: N = 2^n.
        bins: Equal bins over [0, 1].

    Source: Sim, Johnson, Aspuru-Guzik, Adv. Quantum Technol. 2, 1900070 (2019), arXiv:1905.10876.
    """
    places = (found * bins).long().clamp(max=bins - 1)
    shares = torch.bincount(places, minlength=bins).double() / len(found)
    occupied = shares > 0
    logs = shares[occupied].log() - haar_log_shares(dimension, bins)[occupied]
    return max(float((shares[occupied] * logs).sum()), 0.0)


def expressibility(states: torch.Tensor) -> float | None:
    """`divergence_from_haar` of all pairs among states (m, 2^n); none with fewer than two."""
    if len(states) < 2:
        return None
    return divergence_from_haar(fidelities(states), states.shape[1])


@lru_cache(maxsize=16)
def ansatz_expressibility(circuit: Circuit, states: int, seed: int = 0) -> float | None:
    """The same of the circuit itself: angles uniform in (-pi, pi), inputs zero.

    Args:
        circuit: The circuit.
        states: How many random angles; all pairs among them are taken.
        seed: Of the angles; the global random state is left alone.
    """
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.rand(states, circuit.parameters, dtype=torch.float64, generator=generator)
    inputs = torch.zeros(states, circuit.inputs, dtype=torch.float64)
    return expressibility(final_states(circuit, inputs, (2 * drawn - 1) * math.pi))
