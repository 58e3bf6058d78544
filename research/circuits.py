"""What a candidate does to the circuit: its scales, its encoding, what is measured, and what its values weight."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from qweft.adapter.cores import FunctionCore, GatedFunctionCore, LinearCore, LinearFunctionCore
from qweft.adapter.functions import make_function
from qweft.adapter.maps import LinearMap, MpoExpand
from qweft.circuit import Circuit, Gate, final_states
from research.changes import (
    NAME,
    Batches,
    Change,
    core_of,
    expand_of,
    has_other_parts,
    layers_of,
    replace_core,
    signs_of,
)
from research.maps import whole_gradients, writes_where


def instead(kind: Callable[..., FunctionCore]) -> Change:
    """A core of that kind in the place of each layer's; what both have keeps its values."""

    def change(model: nn.Module, batches: Batches) -> None:
        for layer in layers_of(model).values():
            old = core_of(layer)
            core = kind(layer.qwthn_r[NAME], old.function)
            own = core.state_dict()
            alike = {name: value for name, value in old.state_dict().items() if value.shape == own[name].shape}
            core.load_state_dict(alike, strict=False)
            replace_core(layer, core)

    return change


class ScaledCore(LinearFunctionCore):
    """h = Q (b * q(a * c)) + K c: a number for each entry of the circuit's input and output, one at the start."""

    def _add_matrices(self, r: int) -> None:
        super()._add_matrices(r)
        self.input_factors = nn.Parameter(torch.ones(self.function.r))
        self.output_factors = nn.Parameter(torch.ones(self.function.r))

    def tensors(self) -> list[torch.Tensor]:
        return [*super().tensors(), self.input_factors, self.output_factors]

    def angles_of(self, tensors: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        return *super().angles_of(tensors[:-2]), tensors[-2].clone(), tensors[-1].clone()

    def combine(self, expand: torch.Tensor, tensors: Sequence[torch.Tensor]) -> torch.Tensor:
        return super().combine(expand, tensors[:-2])

    def features(self, c: torch.Tensor, *angles: torch.Tensor) -> torch.Tensor:
        *prepared, a, b = angles
        read = c[..., : self.function.r] * a.to(c.dtype)
        return torch.cat([b.to(c.dtype) * self.function_values(read, *prepared), c], -1)


class ArctanCore(LinearFunctionCore):
    """h = Q q(2 arctan(c / 2)) + K c: as c where it is small, and no upload turns a qubit by more than pi."""

    def features(self, c: torch.Tensor, *angles: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.function_values(2 * (c / 2).arctan(), *angles), c], -1)


def with_products(circuit: Circuit) -> Circuit:
    """After each row of uploads CRZ(c_i c_j), control i, target j = i + 1; these n inputs follow the first n."""
    n, gates = circuit.qubits, []
    for gate, after in zip(circuit.gates, [*circuit.gates[1:], None], strict=True):
        gates.append(gate)
        if gate.source == "input" and (after is None or after.source != "input"):
            gates += [Gate("crz", (i, (i + 1) % n), "input", n + i) for i in range(n)]
    return replace(circuit, inputs=2 * n, gates=tuple(gates))


class OtherCircuitCore(LinearFunctionCore):
    """h = Q f + K c, f what another circuit with the same angles gives, gate by gate.

    Args:
        r: Entries of c; the circuit reads the first of them, and is the function's.
        function: The circuit.
        products: Whether the products of neighbouring entries are uploaded, too.
        pairs: Whether Z_i Z_j of every pair of qubits is measured, too.
    """

    signs: torch.Tensor

    def __init__(self, r: int, function: Any, products: bool = False, pairs: bool = False):
        self.products, self.pairs = products, pairs
        super().__init__(r, function)
        self.run = with_products(function.ansatz) if products else function.ansatz
        self.register_buffer("signs", signs_of(function.r, pairs), persistent=False)

    def _add_matrices(self, r: int) -> None:
        super()._add_matrices(r)
        n = self.function.r
        self.quantum_weight = nn.Parameter(torch.empty(r, n * (n + 1) // 2 if self.pairs else n))
        nn.init.kaiming_uniform_(self.quantum_weight)

    def angles_of(self, tensors: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        return (tensors[0].clone(),)

    def features(self, c: torch.Tensor, *angles: torch.Tensor) -> torch.Tensor:
        read = c[..., : self.function.r].float().flatten(0, -2)
        if self.products:
            read = torch.cat([read, read * read.roll(-1, -1)], -1)
        chance = final_states(self.run, read, angles[0].flatten()).abs().square()
        values = chance @ self.signs.to(chance.dtype)
        return torch.cat([values.view(*c.shape[:-1], -1).to(c.dtype), c], -1)


class OpenExpand(LinearMap):
    """An operator's E with its middle bond left open: E_b for each value b of it, side by side, (d_out, D r)."""

    parts = MpoExpand.parts

    def __init__(self, expand: MpoExpand):
        super().__init__()
        self.weight, self.operator = expand.weight, expand.operator
        self.close, self.key = expand.contract, expand.form()

    @property
    def bond(self) -> int:
        """D."""
        return int(self.operator.cores[1].shape[-1])

    def tensors(self) -> list[torch.Tensor]:
        return [self.weight, *self.operator.cores]

    def contract(self, tensors: Sequence[torch.Tensor]) -> torch.Tensor:
        first, one, two, three, four = tensors
        closed = [
            self.close([first, one, two[..., b : b + 1], three[..., b : b + 1, :, :, :], four])
            for b in range(self.bond)
        ]
        return torch.cat(closed, -1)

    def form(self) -> Hashable:
        return "open", self.key


class BondCore(GatedFunctionCore):
    """y = sum over the values b of E's middle bond of g_b E_b K c, g = 1 + G q(t), G (D, n) zero at the start.

    What the circuit measures weights the bonds of the network that writes, and not its output.
    """

    def __init__(self, r: int, function: Any, bond: int):
        self.bond = bond
        super().__init__(r, function)
        self.circuit_features = 0

    def _add_matrices(self, r: int) -> None:
        self.quantum_weight = nn.Parameter(torch.zeros(self.bond, self.function.r))
        self.linear_weight = nn.Parameter(torch.zeros(r, r))

    def tensors(self) -> list[torch.Tensor]:
        return [*super().tensors(), self.linear_weight]

    def combine(self, expand: torch.Tensor, tensors: Sequence[torch.Tensor]) -> torch.Tensor:
        k = tensors[-1]
        blocks = expand.unflatten(-1, (self.bond, k.shape[-1])) @ k.unsqueeze(-3)
        return blocks.flatten(-2)

    def form(self) -> Hashable:
        return super().form(), self.bond

    def features(self, c: torch.Tensor, *angles: torch.Tensor) -> torch.Tensor:
        return (self.factors(c, *angles).unsqueeze(-1) * c.unsqueeze(-2)).flatten(-2)


def weighted_bonds(name: str) -> Change:
    """The core above, with this function in the circuit's place, on layers whose E is an operator."""

    def change(model: nn.Module, batches: Batches) -> None:
        for layer in layers_of(model).values():
            opened = OpenExpand(expand_of(layer))
            old = core_of(layer)
            function = make_function(name, old.function.r, old.function.uploads, True, None)
            core = BondCore(layer.qwthn_r[NAME], function, opened.bond)
            with torch.no_grad():
                core.linear_weight.copy_(old.linear_weight)
                for held, value in function.start(old.angles.detach(), "recorded").items():
                    getattr(core, held).copy_(value)
            layer.qwthn_expand[NAME] = opened
            replace_core(layer, core)

    return change


class SumCore(GatedFunctionCore):
    """h = sum over i of (1 + G q(t))_i c_i: one number of several reads, weighted for each token."""

    def combine(self, expand: torch.Tensor, tensors: Sequence[torch.Tensor]) -> torch.Tensor:
        return expand.expand(*expand.shape[:-1], self.circuit_features)


def without_circuit(model: nn.Module, batches: Batches) -> None:
    """Leave h = K c with qtha's own K, so that all else starts as in qtha."""
    for layer in layers_of(model).values():
        core = LinearCore(layer.qwthn_r[NAME])
        with torch.no_grad():
            core.linear_weight.copy_(core_of(layer).linear_weight)
        replace_core(layer, core)


def several_reads(share: float, weighted: bool = True) -> Change:
    """The sum above of what C reads, written by one column to a share of the outputs, as `sparse_writes` does.

    While G is zero the rows of C have one gradient, so AdamW moves their sum four times as fast as one row, and it
    starts twice as long: rates are not those of `sparse`.

    Args:
        share: Of each layer.
        weighted: Whether G and the circuit are trained; G stays zero otherwise, and the sum is plain.
    """

    def change(model: nn.Module, batches: Batches) -> None:
        instead(SumCore)(model, batches)
        gradients = whole_gradients(model, batches)
        for name, layer in layers_of(model).items():
            norm = gradients[name].norm(dim=1)
            layer.qwthn_expand[NAME] = writes_where(norm, 1, round(share * len(norm)))
            has_other_parts(layer)
            if not weighted:
                core_of(layer).requires_grad_(False)

    return change
