"""Barren plateaus: how the gradients of the untrained circuit fall with qubits and layers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from qweft.adapter.functions.base import ANGLE_BOUND
from qweft.circuit import Circuit, crz_ring_ansatz, expectation_values

BOUNDS = {"recorded": math.pi, "scaled": ANGLE_BOUND}
"""Largest angle at the start, by the start's name."""


@dataclass(frozen=True)
class GradientVariance:
    """Variances of d<Z_0>/d angle over random starts of one circuit.

    Args:
        first_rotation: Of the first trained RY on qubit 0.
        first_phase: Of the first CRZ.
        last_rotation: Of the last RY on qubit 0.
        mean: Mean over all angles, those that <Z_0> does not depend on among them.
    """

    first_rotation: float
    first_phase: float | None
    last_rotation: float
    mean: float


def gradient_variance(circuit: Circuit, start: str, uploads: int, draws: int, seed: int = 0) -> GradientVariance:
    """Var over draws of d<psi(c, t)|Z_0|psi(c, t)> / d t_j.

    Angles t uniform in (-pi, pi) with the recorded start, in (-pi/4, pi/4) with the scaled one; inputs c standard
    normal, with the scaled start over sqrt(uploads), as that start gives them.

    Args:
        circuit: The circuit.
        start: "recorded" or "scaled".
        uploads: How often the circuit uploads its input.
        draws: Pairs of angles and inputs; the relative standard error of a variance is about sqrt(2 / draws), and more
            where gradients have heavy tails.
        seed: Of the draws; the global random state is left alone.

    Source: McClean et al., Nat. Commun. 9, 4812 (2018), for the question; Cerezo et al., Nat. Commun. 12, 1791 (2021),
    for a cost on one qubit and its dependence on depth.
    """
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.rand(draws, circuit.parameters, dtype=torch.float64, generator=generator)
    angles = (2 * drawn - 1) * BOUNDS[start]
    inputs = torch.randn(draws, 1, circuit.inputs, dtype=torch.float64, generator=generator)
    if start == "scaled":
        inputs = inputs * uploads**-0.5
    gradients = torch.empty(draws, circuit.parameters, dtype=torch.float64)
    for draw, (c, t) in enumerate(zip(inputs, angles, strict=True)):
        leaf = t.clone().requires_grad_()
        gradients[draw] = torch.autograd.grad(expectation_values(circuit, c, leaf)[0, 0], leaf)[0]
    variances = gradients.var(0)
    rotations, phases = _places(circuit)
    return GradientVariance(
        first_rotation=float(variances[rotations[0]]),
        first_phase=float(variances[phases[0]]) if phases else None,
        last_rotation=float(variances[rotations[-1]]),
        mean=float(variances.mean()),
    )


def _places(circuit: Circuit) -> tuple[list[int], list[int]]:
    """The angles of trained RY gates on qubit 0, and those of CRZ gates, in the order of the circuit."""
    trained = [gate for gate in circuit.gates if gate.source == "parameter"]
    return (
        [gate.index for gate in trained if gate.name == "ry" and gate.wires == (0,)],
        [gate.index for gate in trained if gate.name == "crz"],
    )


def decay(qubits: Sequence[int], variances: Sequence[float]) -> float:
    """The factor by which a variance changes for each qubit more: exp of the slope of ln variance against qubits."""
    xs = torch.tensor(qubits, dtype=torch.float64)
    ys = torch.tensor(variances, dtype=torch.float64).log()
    xs, ys = xs - xs.mean(), ys - ys.mean()
    return math.exp(float((xs * ys).sum() / xs.square().sum()))


def ansatz_variance(qubits: int, layers: int, start: str, draws: int) -> GradientVariance:
    """`gradient_variance` of the method's circuit, its input uploaded before every layer."""
    return gradient_variance(crz_ring_ansatz(qubits, layers), start, layers, draws)
