"""A Fourier series with the circuit's frequencies, in place of the circuit."""

import torch

from qweft.adapter.functions.base import Function
from qweft.circuit import Circuit


class FourierSeries(Function):
    """Sums of products of trigonometric polynomials with the frequencies of the circuit.

        t_j(c) = sum_k prod_i g_kji(c_i),   g(x) = a_0 + sum_{m=1..U} (a_m cos m x + b_m sin m x)

    Theorem (Schuld, Sweke, Meyer, Phys. Rev. A 103, 032430, 2021, arXiv:2008.08605): let the input c_i be the angle of
    U gates exp(-i c_i G / 2), where G has the eigenvalues +-1. Then an expectation value of the circuit is a Fourier
    series in c with the integer frequencies -U ... U for each c_i: sum over w in {-U..U}^r of A_w exp(i w c).

    The products of g's have all of these frequencies. Sums of (2 U + 1)^(r - 1) products represent every such series,
    and so every circuit on this input. The full series has (2 U + 1)^r coefficients for each output, while a circuit of
    L layers has 4 L angles for each. The coefficients are therefore a sum of few products (a tensor of low canonical
    rank). The default number of products is at least 1 and brings the number of coefficients, terms r^2 (2 U + 1),
    nearest to the circuit's number of angles.

    Start: the first term is the circuit without its CRZ gates, t_j = cos(U c_j + phase_j). In the further terms g_kjj
    is zero and the others are small random polynomials.
    """

    name = "fourier"
    words = "a sum of products of trigonometric polynomials with the frequencies of the circuit"
    called = "its classical twin {}"
    report = (
        "products of sums of sines and cosines of the circuit's inputs with trained coefficients: a classical function "
        "of the same frequencies"
    )

    def __init__(self, ansatz: Circuit, fourier_terms: int | None = None) -> None:
        super().__init__(ansatz)
        basis = 2 * self.uploads + 1
        self.terms = fourier_terms or max(1, round(ansatz.parameters / (self.r**2 * basis)))
        self.trained = {"fourier_coefficients": (self.terms, self.r, self.r, basis)}

    def start(self, angles: torch.Tensor, start: str) -> dict[str, torch.Tensor]:
        """Return the coefficients (terms, outputs j, inputs i, 2 U + 1), the last axis as in `basis`."""
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
        """Return 1, cos x ... cos U x, sin x ... sin U x: (..., r) to (..., r, 2 U + 1)."""
        multiples = c.unsqueeze(-1) * torch.arange(1, self.uploads + 1, device=c.device, dtype=c.dtype)
        return torch.cat([torch.ones_like(c).unsqueeze(-1), multiples.cos(), multiples.sin()], -1)

    def values(self, c: torch.Tensor, *prepared: torch.Tensor) -> torch.Tensor:
        """Return t(c), (..., r)."""
        (coefficients,) = prepared
        basis = self.basis(c.to(coefficients.dtype))
        products = None
        for i in range(self.r):  # r is small; a running product needs less memory than all factors at once
            factors = torch.einsum("...b,kjb->...kj", basis[..., i, :], coefficients[:, :, i])
            products = factors if products is None else products * factors
        assert products is not None
        return products.sum(-2).to(c.dtype)
