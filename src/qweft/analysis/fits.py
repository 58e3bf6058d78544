"""Classical functions fitted to a circuit on real tokens: a constant, affine, quadratic, a full Fourier series."""

import math
from collections import Counter
from dataclasses import dataclass
from typing import Literal, get_args

import torch

from qweft.circuit import Circuit

Kind = Literal["constant", "affine", "quadratic", "fourier"]
KINDS: tuple[Kind, ...] = get_args(Kind)
MOST_TERMS = 2048
"""Most terms of a fit: 2,000 terms take a second or more for each circuit."""
CUT = 1e-10
"""Singular values below this share of the largest are left out, so that no coefficient is made of rounding errors."""


def uploads_of(circuit: Circuit) -> list[int]:
    """Return how often the circuit uploads each of its inputs."""
    found = Counter(gate.index for gate in circuit.gates if gate.source == "input")
    return [found[index] for index in range(circuit.inputs)]


def count_terms(kind: Kind, circuit: Circuit) -> int:
    """Return the number of terms: 1, n + 1, (n + 1) (n + 2) / 2, or the product over inputs of 2 U + 1 (U uploads)."""
    n = circuit.inputs
    counts = {"constant": 1, "affine": n + 1, "quadratic": (n + 1) * (n + 2) // 2}
    return counts[kind] if kind in counts else math.prod(2 * uploads + 1 for uploads in uploads_of(circuit))


def terms(kind: Kind, circuit: Circuit, c: torch.Tensor) -> torch.Tensor:
    """Return the terms of a fit for every token.

        constant   1
        affine     1, c_i
        quadratic  1, c_i, c_i c_j
        fourier    all products over i of one of 1, cos(m c_i), sin(m c_i), m = 1 ... U_i

    The last are all real functions with the frequencies of the circuit, so that the circuit is a sum of them (Schuld,
    Sweke, Meyer, Phys. Rev. A 103, 032430, 2021).
    """
    found = torch.ones_like(c[:, :1])
    if kind == "fourier":
        for column, uploads in zip(c.unbind(1), uploads_of(circuit), strict=True):
            angles = column[:, None] * torch.arange(1, uploads + 1, dtype=c.dtype, device=c.device)
            own = torch.cat([torch.ones_like(c[:, :1]), angles.cos(), angles.sin()], 1)
            found = (found.unsqueeze(2) * own.unsqueeze(1)).flatten(1)
        return found
    if kind != "constant":
        found = torch.cat([found, c], 1)
    if kind == "quadratic":
        left, right = torch.triu_indices(c.shape[1], c.shape[1], device=c.device)
        found = torch.cat([found, c[:, left] * c[:, right]], 1)
    return found


@dataclass(frozen=True)
class FittedCircuit:
    """A fit that can be measured in place of its circuit."""

    kind: Kind
    coefficients: torch.Tensor

    def __call__(self, circuit: Circuit, c: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
        """Return the fit at every token, (..., n) to (..., n), computed in float64, in the dtype of c."""
        flat = c.detach().reshape(-1, circuit.inputs).cpu().double()
        values = terms(self.kind, circuit, flat) @ self.coefficients
        return values.reshape(*c.shape[:-1], circuit.qubits).to(c)


def fitted(kind: Kind, circuit: Circuit, c: torch.Tensor, q: torch.Tensor) -> FittedCircuit:
    """Return the least-squares fit to q, the shortest one where the tokens do not decide."""
    # "gelsd": the inputs may lie in fewer than n dimensions
    found = torch.linalg.lstsq(terms(kind, circuit, c), q, rcond=CUT, driver="gelsd")
    return FittedCircuit(kind, found.solution)


def unexplained(fit: FittedCircuit, circuit: Circuit, c: torch.Tensor, q: torch.Tensor) -> float:
    """Return sum_t |q_t - fit(c_t)|^2 / sum_t |q_t - mean q|^2; 0 for a circuit that does not vary."""
    variance = float((q - q.mean(0)).square().sum())
    missed = float((q - terms(fit.kind, circuit, c) @ fit.coefficients).square().sum())
    floor = (len(q) * torch.finfo(q.dtype).eps) ** 2 * float(q.square().sum())  # rounding error of the mean
    return missed / variance if variance > floor else 0.0
