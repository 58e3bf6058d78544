"""States of circuits: entanglement, expressibility, and gradient variance (barren plateaus)."""

import math
from functools import cache

import torch

from qweft.adapter.functions import ANGLE_BOUND
from qweft.circuit import Circuit, expectation_values, final_states

BINS = 75
"""Bins of the fidelity histogram, as in the source of `expressibility`."""

BOUNDS = {"recorded": math.pi, "small": math.pi, "scaled": ANGLE_BOUND}
"""Bound in radians of the initial angles, by the name of the initialization."""


def meyer_wallach(states: torch.Tensor) -> torch.Tensor:
    """Return the Meyer-Wallach entanglement Q = 2 (1 - 1/n sum_k tr rho_k^2), rho_k the reduced state of qubit k."""
    tokens, n = states.shape[0], states.shape[1].bit_length() - 1
    purities = []
    for qubit in range(n):
        split = states.reshape(tokens, 2**qubit, 2, -1).transpose(1, 2).flatten(2)  # (tokens, 2, 2^(n - 1))
        reduced = split @ split.mH
        purities.append(reduced.abs().square().sum((1, 2)))
    return (2 * (1 - torch.stack(purities, 1).mean(1))).clamp(0, 1)  # rounding error can leave the interval


def haar_log_shares(dimension: int) -> torch.Tensor:
    """Return log((1 - l)^(N - 1) - (1 - u)^(N - 1)) of each bin [l, u) of fidelities of Haar-random states."""
    # P(F) = (N - 1) (1 - F)^(N - 2); at 10 qubits the last bin's probability is below the smallest float64
    edges = torch.linspace(0, 1, BINS + 1, dtype=torch.float64)
    below, above = torch.log1p(-edges[:-1]) * (dimension - 1), torch.log1p(-edges[1:]) * (dimension - 1)
    return below + torch.log1p(-(above - below).exp())


def expressibility(states: torch.Tensor) -> float | None:
    """Return sum over bins of P_b ln(P_b / Haar_b) in nats, 0 to (2^n - 1) ln(BINS); `None` for fewer than two states.

    P is the histogram of the fidelities |<a|b>|^2 of all pairs of states (m, 2^n).
    """
    if len(states) < 2:
        return None
    one, other = torch.triu_indices(len(states), len(states), 1)
    fidelities = (states.conj() @ states.T)[one, other].abs().square().clamp(max=1)
    # with m independent pairs it is too high by about (occupied bins - 1) / (2 m) nats, with dependent ones by more
    places = (fidelities * BINS).long().clamp(max=BINS - 1)
    shares = torch.bincount(places, minlength=BINS).double() / len(fidelities)
    occupied = shares > 0
    logs = shares[occupied].log() - haar_log_shares(states.shape[1])[occupied]
    return max(float((shares[occupied] * logs).sum()), 0.0)


@cache
def ansatz_expressibility(circuit: Circuit, states: int) -> float | None:
    """Return the expressibility of the untrained circuit, with angles uniform in (-pi, pi) and zero inputs."""
    generator = torch.Generator().manual_seed(0)
    drawn = torch.rand(states, circuit.parameters, dtype=torch.float64, generator=generator)
    inputs = torch.zeros(states, circuit.inputs, dtype=torch.float64)
    return expressibility(final_states(circuit, inputs, (2 * drawn - 1) * math.pi))


LARGEST = 2**22
"""Most gates times amplitudes of a circuit that is differentiated at many starts; 12 qubits and layers have less."""


def gradient_variances(
    circuit: Circuit, start: str, uploads: int, draws: int, is_normalised: bool = False
) -> torch.Tensor:
    """Return the variance over draws of angles t and inputs c of d<psi(c, t)|Z_0|psi(c, t)> / d t_j, for each j."""
    generator = torch.Generator().manual_seed(0)
    drawn = torch.rand(draws, circuit.parameters, dtype=torch.float64, generator=generator)
    angles = (2 * drawn - 1) * BOUNDS[start]
    inputs = torch.randn(draws, 1, circuit.inputs, dtype=torch.float64, generator=generator)
    if start == "scaled" or is_normalised:
        inputs = inputs * uploads**-0.5
    gradients = torch.empty(draws, circuit.parameters, dtype=torch.float64)
    for draw, (c, t) in enumerate(zip(inputs, angles, strict=True)):
        leaf = t.clone().requires_grad_()
        gradients[draw] = torch.autograd.grad(expectation_values(circuit, c, leaf)[0, 0], leaf)[0]
    return gradients.var(0)


@cache
def variance_at_start(circuit: Circuit, start: str, uploads: int, is_normalised: bool) -> dict[str, float]:
    """Return the variances over 200 draws of the first rotation and of all angles; nothing without any, or if slow."""
    if not circuit.parameters or len(circuit.gates) << circuit.qubits > LARGEST:
        return {}
    with torch.enable_grad():  # an inspection runs without gradients
        variances = gradient_variances(circuit, start, uploads, draws=200, is_normalised=is_normalised)
    trained = [gate for gate in circuit.gates if gate.source == "parameter"]
    first = next((gate for gate in trained if gate.wires == (0,)), trained[0])
    return {"gradient_variance": float(variances[first.index]), "gradient_variance_mean": float(variances.mean())}
