"""A classical function with the circuit's own frequencies in its place."""

import torch

from qweft.adapter.functions.base import Function
from qweft.circuit import Circuit


class FourierSeries(Function):
    """Sums of products of trigonometric polynomials, whose frequencies are those of the circuit.

        t_j(c) = sum_k prod_i g_kji(c_i),   g(x) = a_0 + sum_{m=1..U} (a_m cos m x + b_m sin m x)

    Theorem (Schuld, Sweke, Meyer, Phys. Rev. A 103, 032430, 2021, arXiv:2008.08605): an expectation value of a circuit
    whose input c_i is the angle of U gates exp(-i c_i G / 2), G with the eigenvalues +-1, is a Fourier series in c with
    the whole frequencies -U ... U for each c_i: sum over w in {-U..U}^r of A_w exp(i w c). The product of g's holds
    every one of these frequencies, and sums of (2 U + 1)^(r - 1) products are all such series, so every circuit on
    this input is among them. The full series has (2 U + 1)^r coefficients for each output, where a circuit of L layers
    has 4 L angles; so its coefficients are kept as a sum of few products (a tensor of low canonical rank), by default
    of the number that brings their count, terms r^2 (2 U + 1), nearest to the circuit's, at least one.

    Start: the circuit without its CRZ gates, t_j = cos(U c_j + phase_j), as the first term; in the further ones
    g_kjj is zero and the others are small random polynomials.

    Args:
        ansatz: The circuit.
        uploads: U.
        terms: Products that an output adds up. `None` means as above.
    """

    name = "fourier"
    words = "a sum of products of trigonometric polynomials with the frequencies of the circuit"

    def __init__(self, ansatz: Circuit, uploads: int, terms: int | None = None) -> None:
        super().__init__(ansatz, uploads)
        basis = 2 * uploads + 1
        self.terms = terms or max(1, round(ansatz.parameters / (self.r**2 * basis)))
        self.trained = {"fourier_coefficients": (self.terms, self.r, self.r, basis)}

    def start(self, angles: torch.Tensor, start: str) -> dict[str, torch.Tensor]:
        """Coefficients (term, output j, input i, basis), the basis as in `basis`."""
        drawn = torch.randn(self.trained["fourier_coefficients"], generator=self.generator(angles))
        coefficients = drawn.to(angles) * (2 * self.uploads + 1) ** -0.5
        coefficients[0] = 0
        coefficients[0, ..., 0] = 1
        own = torch.arange(self.r)
        coefficients[:, own, own] = 0
        phases = self.phases(angles)
        coefficients[0, own, own, self.uploads] = phases.cos()
        coefficients[0, own, own, 2 * self.uploads] = -phases.sin()
        return {"fourier_coefficients": coefficients}

    def basis(self, c: torch.Tensor) -> torch.Tensor:
        """(..., r) to (..., r, 2 U + 1): 1, cos x ... cos U x, sin x ... sin U x."""
        multiples = c.unsqueeze(-1) * torch.arange(1, self.uploads + 1, device=c.device, dtype=c.dtype)
        return torch.cat([torch.ones_like(c).unsqueeze(-1), multiples.cos(), multiples.sin()], -1)

    def values(self, c: torch.Tensor, *prepared: torch.Tensor) -> torch.Tensor:
        """t(c)."""
        (coefficients,) = prepared
        basis = self.basis(c.to(coefficients.dtype))
        products = None
        for i in range(self.r):  # r is small; one product at a time keeps less than all factors side by side
            factors = torch.einsum("...b,kjb->...kj", basis[..., i, :], coefficients[:, :, i])
            products = factors if products is None else products * factors
        assert products is not None
        return products.sum(-2).to(c.dtype)
