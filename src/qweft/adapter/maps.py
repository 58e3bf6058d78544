"""The linear halves of the branch, C and E: dense, or a matrix product operator with a small linear map.

Whatever they are made of, they are contracted into one small dense matrix once per forward pass, so that a token costs
what it costs in LoRA; without gradients the matrix is kept until a parameter changes.
"""

import torch
from torch import nn
from torch.nn.functional import linear

from qweft.circuit.precision import exact_products
from qweft.tensornet import MatrixProductOperator, Modes
from qweft.tensornet.start import kaiming_start, scaled_start, zero_last


class ContractedMap(nn.Module):
    """A linear map without bias, applied as one matrix that is built from parameters.

    Subclasses define `matrix()`, (out, in), and `reset(start, zero)`.
    """

    def __init__(self) -> None:
        super().__init__()
        self._kept: tuple[tuple[object, ...], torch.Tensor] | None = None

    def matrix(self) -> torch.Tensor:
        """The dense matrix (out, in), differentiable in the parameters."""
        raise NotImplementedError

    def reset(self, start: str, zero: bool) -> None:
        """Start the parameters by the named start; with `zero` such that the matrix is zero."""
        raise NotImplementedError

    def effective_matrix(self) -> torch.Tensor:
        """`matrix()`, computed in the parameters' own type; kept between calls where no gradient is needed.

        A matrix with a graph is never kept: it would die with the first backward pass.
        """
        parameters = list(self.parameters())
        needs_graph = torch.is_grad_enabled() and any(parameter.requires_grad for parameter in parameters)
        if needs_graph or torch.compiler.is_compiling():
            with exact_products(parameters[0].device):
                return self.matrix()
        # a matrix made in inference mode cannot take part in a graph outside of it
        state = (
            torch.is_inference_mode_enabled(),
            *((id(p), p.data_ptr(), 0 if p.is_inference() else p._version, p.dtype, p.device) for p in parameters),
        )
        if self._kept is None or self._kept[0] != state:
            with torch.no_grad(), exact_products(parameters[0].device):
                self._kept = (state, self.matrix())
        return self._kept[1]

    def train(self, mode: bool = True) -> "ContractedMap":
        """Also forgets the kept matrix, for code that writes to `parameter.data`, which no version counter sees."""
        self._kept = None
        return super().train(mode)

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_kept": None}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(..., in) to (..., out)."""
        return linear(x, self.effective_matrix())


class DenseMap(ContractedMap):
    """One matrix (out, in), as LoRA has."""

    def __init__(self, into: int, out: int):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(out, into))

    def matrix(self) -> torch.Tensor:
        """The weight itself."""
        return self.weight

    def effective_matrix(self) -> torch.Tensor:
        """The weight itself: there is nothing to contract or keep."""
        return self.weight

    @torch.no_grad()
    def reset(self, start: str, zero: bool) -> None:
        """Zero, or kaiming-uniform with a = 0; the scaled start has entries of variance 1 / in."""
        if zero:
            nn.init.zeros_(self.weight)
        elif start == "scaled":
            nn.init.normal_(self.weight, std=self.weight.shape[1] ** -0.5)
        else:
            nn.init.kaiming_uniform_(self.weight)


class MpoCompress(ContractedMap):
    """d_in -> width by a matrix product operator, width -> r by a linear map: matrix A W, (r, d_in)."""

    def __init__(self, into: Modes, width: Modes, r: int, bond: int):
        super().__init__()
        self.operator = MatrixProductOperator(width, into, bond)
        self.weight = nn.Parameter(torch.zeros(r, width.size))

    def matrix(self) -> torch.Tensor:
        """A W, by r applications of the network."""
        return self.operator.left_multiply(self.weight)

    @torch.no_grad()
    def reset(self, start: str, zero: bool) -> None:
        """Cores and linear map by the named start; `zero` zeroes the operator's last core."""
        _reset_operator(self.operator, start, zero)
        nn.init.kaiming_uniform_(self.weight)


class MpoExpand(ContractedMap):
    """r -> width by a linear map, width -> d_out by a matrix product operator: matrix W B, (d_out, r)."""

    def __init__(self, r: int, width: Modes, out: Modes, bond: int):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(width.size, r))
        self.operator = MatrixProductOperator(out, width, bond)

    def matrix(self) -> torch.Tensor:
        """W B, by r applications of the network."""
        return self.operator.right_multiply(self.weight)

    @torch.no_grad()
    def reset(self, start: str, zero: bool) -> None:
        """Cores and linear map by the named start; `zero` zeroes the operator's last core."""
        _reset_operator(self.operator, start, zero)
        nn.init.kaiming_uniform_(self.weight)


def _reset_operator(operator: MatrixProductOperator, start: str, zero: bool) -> None:
    if start == "scaled":
        scaled_start(operator, 1 / operator.into.size)
    else:
        kaiming_start(operator)
    if zero:
        zero_last(operator)
