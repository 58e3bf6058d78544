"""What a candidate does to an adapter that no config can say yet, on the adapted model before its first step."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from qweft.adapter import QwthnLinear
from qweft.adapter.cores import Core, LinearCore, LinearFunctionCore, make_core
from qweft.adapter.directions import GradientSketch, give
from qweft.adapter.find_bases import _as_the_base_model, _labelled, _Watch
from qweft.adapter.fixed_maps import Directions, Side
from qweft.adapter.functions import make_function
from qweft.circuit import final_states

NAME = "default"
Batches = Sequence[Mapping[str, Any]]
Change = Callable[[nn.Module, Batches], None]
"""What is done to the adapted model, shown some batches of its training rows, before its first step."""


def side(directions: torch.Tensor) -> Side:
    """Directions (size, count) as the maps take them, all inputs or outputs counting alike."""
    return Side(directions.float(), torch.ones(len(directions)))


def sides(into: torch.Tensor, out: torch.Tensor) -> Directions:
    """Return directions of the inputs and of the outputs, both as above."""
    return side(into), side(out)


def core_of(layer: QwthnLinear) -> Any:
    """Return the layer's core, whose attributes depend on its class."""
    return layer.qwthn_core[NAME]


def compress_of(layer: QwthnLinear) -> Any:
    """Return the layer's C, likewise."""
    return layer.qwthn_compress[NAME]


def expand_of(layer: QwthnLinear) -> Any:
    """Return the layer's E, likewise."""
    return layer.qwthn_expand[NAME]


def layers_of(model: nn.Module) -> dict[str, QwthnLinear]:
    """Return the adapted layers by name."""
    return {name: layer for name, layer in model.named_modules() if isinstance(layer, QwthnLinear)}


def has_other_parts(layer: QwthnLinear) -> None:
    """What is built of a branch is built anew, from parts that may have other shapes."""
    layer.qwthn_shapes[NAME] = [tensor.shape for tensor in layer.branch_of(NAME).tensors()]
    layer.forget_prepared(NAME)


def replace_core(layer: QwthnLinear, core: nn.Module) -> None:
    """Put a core in the place of the layer's, on its device."""
    layer.qwthn_core[NAME] = core.to(next(layer.base_layer.parameters()).device)
    has_other_parts(layer)


def small_angles(model: nn.Module, batches: Batches, factor: float = 0.05) -> None:
    """Circuits near the identity: with angles t and inputs near zero every qubit's Z is near 1."""
    with torch.no_grad():
        for layer in layers_of(model).values():
            core_of(layer).angles.mul_(factor)


def shared_maps(model: nn.Module, batches: Batches) -> None:
    """One C and one E for all layers of a kind; each layer has its own K, Q and circuit, and K and Q start at zero."""
    maps: dict[tuple[str, str], nn.Module] = {}
    for name, layer in layers_of(model).items():
        kind = name.rpartition(".")[2]
        core_of(layer).reset("recorded", zero=True)
        expand_of(layer).reset("recorded", zero=False)
        for part, held in (("compress", layer.qwthn_compress), ("expand", layer.qwthn_expand)):
            held[NAME] = maps.setdefault((kind, part), held[NAME])


def inputs_of(model: nn.Module, batches: Batches) -> dict[str, torch.Tensor]:
    """X^T X of each adapted layer over the batches, (d_in, d_in)."""
    found: dict[str, torch.Tensor] = {}

    def watch(name: str) -> Callable[..., None]:
        def see(_: nn.Module, args: tuple[torch.Tensor, ...]) -> None:
            x = args[0].detach().flatten(0, -2).float()
            found[name] = found.get(name, 0) + x.T @ x

        return see

    handles = [layer.register_forward_pre_hook(watch(name)) for name, layer in layers_of(model).items()]
    with torch.no_grad():
        for batch in batches:
            model(**batch)
    for handle in handles:
        handle.remove()
    return found


def activation_directions(model: nn.Module, batches: Batches) -> None:
    """C reads the leading directions of the layer's inputs; E keeps those of the gradient."""
    for name, squares in inputs_of(model, batches).items():
        layer = layers_of(model)[name]
        leading = torch.linalg.eigh(squares.double()).eigenvectors.flip(1)[:, : layer.qwthn_r[NAME]].float()
        give(layer.branch_of(NAME), sides(leading, expand_of(layer).weight.float()))


def gradient_directions(model: nn.Module, batches: Batches) -> dict[str, Directions]:
    """Of each adapted layer of any kind: V (d_in, r) and U (d_out, r) of the gradient with respect to its weight."""
    return {name: sketch.directions() for name, sketch in gradient_sketches(model, batches).items()}


def gradient_values(model: nn.Module, batches: Batches) -> dict[str, torch.Tensor]:
    """Of each adapted layer the leading singular values of the gradient, (r,), as its sketch has them."""
    found = {}
    for name, sketch in gradient_sketches(model, batches).items():
        rest = sketch._whole
        if rest is None:
            y, z, psi = (tensor.double() for tensor in (sketch._y, sketch._z, sketch._psi))
            rest = torch.linalg.lstsq(psi @ torch.linalg.qr(y).Q, z).solution
        found[name] = torch.linalg.svdvals(rest)[: sketch.r].float()
    return found


def gradient_sketches(model: nn.Module, batches: Batches) -> dict[str, GradientSketch]:
    """Return a sketch of each adapted layer's gradient over the batches."""
    watch, sketches = _Watch(), {}
    for name, layer in layers_of(model).items():
        device = next(layer.base_layer.parameters()).device
        sketches[name] = GradientSketch(layer.in_features, layer.out_features, layer.qwthn_r[NAME], device)
        watch.look_at(layer.get_base_layer(), sketches[name])
    with _as_the_base_model(model):
        for batch in batches:
            watch.backward(model(**batch).loss, _labelled(batch))
    watch.stop()
    return sketches


def gradient_start(model: nn.Module, batches: Batches) -> None:
    """A trained dense C starts at the gradient's leading directions; E is zero, as it was."""
    for name, (into, _) in gradient_directions(model, batches).items():
        with torch.no_grad():
            compress_of(layers_of(model)[name]).weight.copy_(into.directions.T)


def rms_of_c(model: nn.Module, batches: Batches) -> dict[str, torch.Tensor]:
    """Of each layer, the rms of each entry of c over the batches, (r,)."""
    found = {}
    for name, squares in inputs_of(model, batches).items():
        compress = compress_of(layers_of(model)[name]).matrix().detach()
        found[name] = ((compress @ squares) * compress).sum(1)
    tokens = sum(batch["input_ids"].numel() for batch in batches)
    return {name: (total / tokens).sqrt() for name, total in found.items()}


class DiagonalCore(LinearCore):
    """h = k * c: one number a pair of directions, as in the gradient itself at K = 0."""

    def __init__(self, r: int):
        super().__init__(r)
        self.linear_weight = nn.Parameter(torch.zeros(r))

    def combine(self, expand: torch.Tensor, tensors: Sequence[torch.Tensor]) -> torch.Tensor:
        return expand * tensors[0].unsqueeze(-2)


def diagonal(model: nn.Module, batches: Batches) -> None:
    """Put the core above on every layer."""
    for layer in layers_of(model).values():
        replace_core(layer, DiagonalCore(layer.qwthn_r[NAME]))


class LowRankCore(LinearCore):
    """h = A B c, A (r, rank) and B (rank, r): a LoRA between the bases."""

    def __init__(self, r: int, rank: int):
        super().__init__(r)
        self.linear_weight = nn.Parameter(torch.zeros(r, rank))
        self.linear_read = nn.Parameter(nn.init.kaiming_uniform_(torch.empty(rank, r), a=math.sqrt(5)))

    def tensors(self) -> list[torch.Tensor]:
        return [self.linear_weight, self.linear_read]

    def combine(self, expand: torch.Tensor, tensors: Sequence[torch.Tensor]) -> torch.Tensor:
        return expand @ tensors[0] @ tensors[1]


def low_rank(rank: int) -> Change:
    """Put the core above on every layer."""

    def change(model: nn.Module, batches: Batches) -> None:
        for layer in layers_of(model).values():
            replace_core(layer, LowRankCore(layer.qwthn_r[NAME], rank))

    return change


class StepCore(LowRankCore):
    """h = (g / 4 + A B) c: one number g a layer, zero at the start, for a step along all directions at once."""

    def __init__(self, r: int, rank: int):
        super().__init__(r, rank)
        self.linear_step = nn.Parameter(torch.zeros(1))

    def tensors(self) -> list[torch.Tensor]:
        return [*super().tensors(), self.linear_step]

    def combine(self, expand: torch.Tensor, tensors: Sequence[torch.Tensor]) -> torch.Tensor:
        weight, read, step = tensors
        return expand * (step / 4).unsqueeze(-2) + expand @ weight @ read


def step(rank: int) -> Change:
    """The core above on every layer."""

    def change(model: nn.Module, batches: Batches) -> None:
        for layer in layers_of(model).values():
            replace_core(layer, StepCore(layer.qwthn_r[NAME], rank))

    return change


def graded(power: float) -> Change:
    """A LoRA of rank 4 between bases whose directions have the length (s_i / s_1)^power, s the gradient's values."""

    def change(model: nn.Module, batches: Batches) -> None:
        low_rank(4)(model, batches)
        for name, values in gradient_values(model, batches).items():
            layer = layers_of(model)[name]
            with torch.no_grad():
                lengths = (values / values[0]) ** power
                compress_of(layer).weight.mul_(lengths[:, None])
                expand_of(layer).weight.mul_(lengths)

    return change


class InnerCore(Core):
    """h = A f(B c), A (r, n) and B (n, r): a core f of n entries between the bases, as qtha has it between operators.

    A starts at zero, B such that B c has rms 1 / sqrt(L) where f is a circuit of L layers, 1 else.
    """

    def __init__(self, r: int, inner: Core, rms: torch.Tensor, n: int):
        super().__init__()
        self.inner = inner
        self.reads_angles, self.circuit_features = inner.reads_angles, inner.circuit_features
        read = torch.randn(n, r) * inner.input_scale / rms.square().sum().sqrt()
        self.linear_read, self.linear_weight = nn.Parameter(read), nn.Parameter(torch.zeros(r, n))

    def tensors(self) -> list[torch.Tensor]:
        return [*self.inner.tensors(), self.linear_weight, self.linear_read]

    def angles_of(self, tensors: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        return *self.inner.angles_of(tensors[:-2]), tensors[-1].clone()

    def combine(self, expand: torch.Tensor, tensors: Sequence[torch.Tensor]) -> torch.Tensor:
        return self.inner.combine(expand @ tensors[-2], tensors[:-2])

    def features(self, c: torch.Tensor, *angles: torch.Tensor) -> torch.Tensor:
        return self.inner.features(c @ angles[-1].T, *angles[:-1])


def inner(name: str, n: int) -> Change:
    """Put the core of that name, with n entries, between the bases."""

    def change(model: nn.Module, batches: Batches) -> None:
        rms = rms_of_c(model, batches)
        for place, layer in layers_of(model).items():
            core = make_core(name, n, 1, True, qubits=n)
            core.reset("scaled")
            replace_core(layer, InnerCore(layer.qwthn_r[NAME], core, rms[place].clamp(min=1e-6), n))

    return change


class BesideCore(Core):
    """A LoRA between the bases, c = A z and h = B f(c), with what a circuit makes of c beside or upon it.

    "beside": f = (c, q(t)); "upon": f = (1 + G q(t)) * c; "bias": f = (c, 1), no circuit. B and G start at zero. The
    circuit's angles t are c over the rms of its own entries: c itself is 500 times as large in one layer as in another.
    """

    def __init__(self, r: int, n: int, how: str):
        super().__init__()
        self.how = how
        self.linear_read = nn.Parameter(nn.init.kaiming_uniform_(torch.empty(n, r), a=math.sqrt(5)))
        self.linear_weight = nn.Parameter(torch.zeros(r, {"beside": 2 * n, "upon": n, "bias": n + 1}[how]))
        if how != "bias":
            self.function = make_function("quantum", n, 1, True, None)
            self.function.make_ready()
            self.reads_angles, self.circuit_features = True, n
            drawn = self.function.draw().uniform_(-math.pi / 4, math.pi / 4)
            for name, tensor in self.function.start(drawn, "scaled").items():
                setattr(self, name, nn.Parameter(tensor.clone()))
        if how == "upon":
            self.quantum_gate = nn.Parameter(torch.zeros(n, n))

    def tensors(self) -> list[torch.Tensor]:
        own = [getattr(self, name) for name in self.function.trained] if self.how != "bias" else []
        gate = [self.quantum_gate] if self.how == "upon" else []
        return [*own, *gate, self.linear_weight, self.linear_read]

    def angles_of(self, tensors: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        read = tensors[-1].clone()
        if self.how == "bias":
            return (read,)
        own = self.function.prepare(tensors[: len(self.function.trained)])
        return (read, *((tensors[-3].clone(),) if self.how == "upon" else ()), *own)

    def combine(self, expand: torch.Tensor, tensors: Sequence[torch.Tensor]) -> torch.Tensor:
        return expand @ tensors[-2]

    def features(self, z: torch.Tensor, *angles: torch.Tensor) -> torch.Tensor:
        read, *rest = angles
        c = z @ read.T
        if self.how == "bias":
            return torch.cat([c, torch.ones_like(c[..., :1])], -1)
        t = c / c.square().mean(-1, keepdim=True).add(1e-12).sqrt() * self.function.input_scale
        if self.how == "beside":
            return torch.cat([c, self.function.values(t, *rest)], -1)
        gate, *prepared = rest
        return c * (1 + self.function.values(t, *prepared) @ gate.T)


def beside(how: str, n: int = 4) -> Change:
    """Put the core above on every layer."""

    def change(model: nn.Module, batches: Batches) -> None:
        for layer in layers_of(model).values():
            replace_core(layer, BesideCore(layer.qwthn_r[NAME], n, how))

    return change


def signs_of(n: int, pairs: bool) -> torch.Tensor:
    """Of each basis state of n qubits the sign of every Z_i, and, with pairs, of every Z_i Z_j: (2^n, observables)."""
    signs = 1.0 - 2.0 * (torch.arange(2**n)[:, None] >> torch.arange(n - 1, -1, -1) & 1)
    both = [signs[:, i] * signs[:, j] for i in range(n) for j in range(i)] if pairs else []
    return torch.stack([*signs.T, *both], 1)


class PairsCore(LinearFunctionCore):
    """h = Q (q(A c), pairs) + K c: also Z_i Z_j of every pair of qubits, n (n + 1) / 2 numbers from one circuit.

    The circuit reads a trained A, (qubits, r), that starts with its first entries at rms 1.
    """

    def __init__(self, r: int, function: Any, rms: torch.Tensor):
        super().__init__(r, function)
        start = torch.zeros(function.r, r)
        for qubit in range(function.r):
            start[qubit, qubit] = 1 / rms[qubit]
        self.read_weight = nn.Parameter(start)

    def _add_matrices(self, r: int) -> None:
        super()._add_matrices(r)
        n = self.function.r
        self.quantum_weight = nn.Parameter(torch.zeros(r, n * (n + 1) // 2))

    def tensors(self) -> list[torch.Tensor]:
        return [*super().tensors(), self.read_weight]

    def angles_of(self, tensors: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        return tensors[0].clone(), tensors[-1].clone()

    def combine(self, expand: torch.Tensor, tensors: Sequence[torch.Tensor]) -> torch.Tensor:
        return super().combine(expand, tensors[:-1])

    def features(self, c: torch.Tensor, *angles: torch.Tensor) -> torch.Tensor:
        circuit = self.circuit
        assert circuit is not None
        t, read = angles
        flat = (c @ read.T).float().flatten(0, -2)
        chance = final_states(circuit, flat, t.flatten()).abs().square()
        values = chance @ signs_of(self.function.r, True).to(chance)
        return torch.cat([values.view(*c.shape[:-1], -1).to(c.dtype), c], -1)


def reading_pairs(model: nn.Module, batches: Batches) -> None:
    """Put the core above on every layer, with the function that is there, K and Q at zero."""
    rms = rms_of_c(model, batches)
    for name, layer in layers_of(model).items():
        core = PairsCore(layer.qwthn_r[NAME], core_of(layer).function, rms[name].clamp(min=1e-6))
        core.reset("scaled", zero=True)
        replace_core(layer, core)


def count(parameters: Iterable[nn.Parameter]) -> int:
    """Numbers that are trained; what is shared counts once."""
    return sum(math.prod(parameter.shape) for parameter in parameters if parameter.requires_grad)
