"""What a candidate does to the maps C and E: fixed, tied, mixed over the layers, or with other directions."""

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

import torch
from torch import nn

from qweft.adapter.directions import give
from qweft.adapter.find_bases import _as_the_base_model
from qweft.adapter.fixed_maps import Side, SparseExpand, SubspaceCompress
from qweft.adapter.maps import LinearMap
from qweft.method.names import Part
from research.changes import NAME, Batches, Change, compress_of, has_other_parts, inputs_of, layers_of, side, sides


def fixed_reads(model: nn.Module, batches: Batches) -> None:
    """C stays as it was drawn."""
    for layer in layers_of(model).values():
        compress_of(layer).weight.requires_grad_(False)


def tied(model: nn.Module, batches: Batches) -> None:
    """One trained C for all layers of a kind; each layer has an E of its own, which starts at zero."""
    maps: dict[str, nn.Module] = {}
    for name, layer in layers_of(model).items():
        kind = name.rpartition(".")[2]
        layer.qwthn_compress[NAME] = maps.setdefault(kind, layer.qwthn_compress[NAME])


class LayeredMap(LinearMap):
    """A dense map that is a mixture of some that many layers share: M = sum over k of w_k M_k, w the layer's own."""

    parts: ClassVar[Mapping[str, Part]] = {"mix": "linear", "stack": "linear"}

    def __init__(self, stack: nn.Parameter, mix: torch.Tensor):
        super().__init__()
        self.mix, self.stack = nn.Parameter(mix), stack

    def tensors(self) -> list[torch.Tensor]:
        return [self.mix, self.stack]

    def contract(self, tensors: Sequence[torch.Tensor]) -> torch.Tensor:
        mix, stack = tensors
        return torch.einsum("...k,...kij->...ij", mix, stack)

    def matrix(self) -> torch.Tensor:
        return self.contract(self.tensors())

    def form(self) -> Hashable:
        return "layered"


READS = {"q_proj": "stream", "k_proj": "stream", "v_proj": "stream", "gate_proj": "inner", "up_proj": "inner"}
"""Layers of one block with the same input."""


def hats(block: int, blocks: int, knots: int) -> torch.Tensor:
    """Weights of the knots at a block: the two nearest, in proportion, of knots that lie evenly over the depth."""
    if knots == 1:
        return torch.ones(1)
    places = torch.arange(knots) * (blocks - 1) / (knots - 1)
    return (1 - (places - block).abs() * (knots - 1) / (blocks - 1)).clamp(min=0)


def steps(block: int, blocks: int, knots: int) -> torch.Tensor:
    """Weights of the knots at a block: one knot for so many blocks in a row."""
    return nn.functional.one_hot(torch.tensor(block * knots // blocks), knots).float()


def layered(
    writes: int, weights: Callable[[int, int, int], torch.Tensor] | None = None, reads: int | None = None
) -> Change:
    """E of each layer mixed of some that the layers of a kind share, C of some that those with one input share.

    The mixtures are random unless weights are given, and trained; the shared E are zero at the start.

    Args:
        writes: So many E are shared; 0 leaves each layer its own.
        weights: Of the shared ones at a block, of so many blocks.
        reads: So many C; 0 leaves each layer its own, and none is as many as E.
    """
    reads = writes if reads is None else reads

    def mixed(stacks: dict[Any, nn.Parameter], key: Any, drawn: Callable[[], torch.Tensor], place: Any) -> LayeredMap:
        block, blocks, knots = place
        if key not in stacks:
            stacks[key] = nn.Parameter(torch.stack([drawn() for _ in range(knots)]))
        mix = weights(block, blocks, knots) if weights else torch.randn(knots) / math.sqrt(knots)
        return LayeredMap(stacks[key], mix)

    def change(model: nn.Module, batches: Batches) -> None:
        stacks: dict[Any, nn.Parameter] = {}
        blocks = 1 + max(_block(name) for name in layers_of(model))
        for name, layer in layers_of(model).items():
            kind, block = name.rpartition(".")[2], _block(name)
            r, into, out = layer.qwthn_r[NAME], layer.in_features, layer.out_features
            if reads:
                start = partial(_lora_start, r, into)
                place = (block, blocks, reads)
                layer.qwthn_compress[NAME] = mixed(stacks, ("in", READS.get(kind, kind)), start, place)
            if writes:
                place = (block, blocks, writes)
                layer.qwthn_expand[NAME] = mixed(stacks, ("out", kind), partial(torch.zeros, out, r), place)
            has_other_parts(layer)

    return change


def _lora_start(r: int, into: int) -> torch.Tensor:
    return nn.init.kaiming_uniform_(torch.empty(r, into), a=math.sqrt(5))


def _block(name: str) -> int:
    """The place of a layer's block in the model."""
    return next(int(part) for part in name.split(".") if part.isdigit())


def sizes_of(model: nn.Module, batches: Batches) -> dict[str, tuple[float, torch.Tensor]]:
    """Of each adapted layer the rms of an entry of W0 x, and X^T X over the tokens, both over the batches."""
    found: dict[str, Any] = {}

    def watch(name: str) -> Callable[..., None]:
        def see(_: nn.Module, args: tuple[torch.Tensor, ...], y: torch.Tensor) -> None:
            x = args[0].detach().flatten(0, -2).float()
            square, rows, squares = found.get(name, (0.0, 0, 0))
            y = y.detach().float()
            found[name] = square + y.square().mean(-1).sum().item(), rows + len(x), squares + x.T @ x

        return see

    handles = [layer.get_base_layer().register_forward_hook(watch(name)) for name, layer in layers_of(model).items()]
    with torch.no_grad(), _as_the_base_model(model):
        for batch in batches:
            model(**batch)
    for handle in handles:
        handle.remove()
    return {name: (math.sqrt(square / rows), squares / rows) for name, (square, rows, squares) in found.items()}


def read_once(kind: str, of_input: float, of_output: float, without: int = 0, size: float = 0.5) -> Change:
    """C is fixed and reads directions drawn at random, or of the gradient; its length is set layer by layer.

        c = size * rms(W0 x)^of_output * (v x) / rms(v x)^of_input

    Args:
        kind: "random" or "gradient".
        of_input: Whether by the size of what is read.
        of_output: Whether by the size of the layer's own output.
        without: So many leading directions of the inputs are left out of v.
        size: A factor.
    """

    def change(model: nn.Module, batches: Batches) -> None:
        sizes = sizes_of(model, batches)
        gradients = whole_gradients(model, batches) if kind == "gradient" else {}
        for name, layer in layers_of(model).items():
            weight = compress_of(layer).weight
            out, squares = sizes[name]
            r, into = weight.shape
            loud = torch.linalg.eigh(squares.double()).eigenvectors.flip(1).float()[:, :without]
            kept = torch.eye(into) - loud @ loud.T
            if kind == "gradient":
                rows = torch.linalg.svd((gradients[name] @ kept).double(), full_matrices=False).Vh[:r].float()
            else:
                rows = torch.randn(r, into) @ kept
            with torch.no_grad():
                rows = rows / rows.norm(dim=1, keepdim=True)
                rms = ((rows @ squares) * rows).sum(1, keepdim=True).clamp(min=1e-12).sqrt()
                weight.copy_(size * rows / rms**of_input * out**of_output)
            weight.requires_grad_(False)

    return change


def whole_gradients(model: nn.Module, batches: Batches) -> dict[str, torch.Tensor]:
    """Of each adapted layer the gradient with respect to its weight, (d_out, d_in) in float32."""
    found: dict[str, torch.Tensor] = {}
    weights: dict[str, Any] = {name: layer.get_base_layer().weight for name, layer in layers_of(model).items()}
    with _as_the_base_model(model):
        for weight in weights.values():
            weight.requires_grad_(True)
        for batch in batches:
            model(**batch).loss.backward()
            for name, weight in weights.items():
                found[name] = found.get(name, 0) + weight.grad.float()
                weight.grad = None
        for weight in weights.values():
            weight.requires_grad_(False)
    model.zero_grad(set_to_none=True)
    return found


def random_reads(model: nn.Module, batches: Batches) -> None:
    """C reads random directions, and E keeps those of the gradient."""
    for layer in layers_of(model).values():
        compress = compress_of(layer)
        compress.set(side(torch.linalg.qr(torch.randn(layer.in_features, compress.count)).Q))


def writes_where(norm: torch.Tensor, r: int, count: int) -> SparseExpand:
    """E to the so many outputs of the largest norm."""
    expand = SparseExpand(r, count, len(norm), "gradient")
    expand.set(Side(norm[:, None], norm))
    return expand


def sparse_writes(
    share: float, together: bool = False, least: int = 4, reads: int = 0, by_chance: bool = False
) -> Change:
    """E writes to a share of the outputs, those to which the gradient has the longest rows.

    Args:
        share: Of each layer, or of all.
        together: Whether the rows of all layers are held against each other, and not those of each layer.
        least: Then each layer has at least so many.
        reads: C reads so many inputs, by the gradient's columns; 0 leaves it the directions it has.
        by_chance: Whether outputs and inputs are drawn instead.
    """

    def change(model: nn.Module, batches: Batches) -> None:
        gradients = whole_gradients(model, batches)
        if by_chance:
            gradients = {name: torch.randn_like(gradient) for name, gradient in gradients.items()}
        norms = {name: gradient.norm(dim=1) for name, gradient in gradients.items()}
        every = torch.cat(list(norms.values()))
        bound = every.topk(round(share * len(every))).values[-1]
        for name, layer in layers_of(model).items():
            norm = norms[name]
            count = max(least, int((norm >= bound).sum())) if together else round(share * len(norm))
            layer.qwthn_expand[NAME] = writes_where(norm, layer.qwthn_r[NAME], count)
            if reads:
                read = gradients[name].norm(dim=0).topk(reads).indices.sort().values
                compress = SubspaceCompress(layer.in_features, reads, layer.qwthn_r[NAME], "gradient")
                compress.reset("recorded", zero=False)
                compress.set(side(torch.eye(layer.in_features)[:, read]))
                layer.qwthn_compress[NAME] = compress
            has_other_parts(layer)

    return change


def even_tokens(model: nn.Module, batches: Batches) -> None:
    """The preset's directions, of a gradient in which every token counts alike: sum of (dy / |dy|) (x / |x|)^T."""
    layers = layers_of(model)
    found: dict[str, torch.Tensor] = {}

    def watch(name: str) -> Callable[..., torch.Tensor]:
        def see(_: nn.Module, args: tuple[torch.Tensor, ...], y: torch.Tensor) -> torch.Tensor:
            x = nn.functional.normalize(args[0].detach().flatten(0, -2).float(), dim=1)
            y = y + leaf.to(y.dtype)

            def add(dy: torch.Tensor) -> None:
                found[name] = found.get(name, 0) + nn.functional.normalize(dy.flatten(0, -2).float(), dim=1).T @ x

            y.register_hook(add)
            return y

        return see

    leaf = torch.zeros((), requires_grad=True)
    handles = [layer.get_base_layer().register_forward_hook(watch(name)) for name, layer in layers.items()]
    with _as_the_base_model(model):
        for batch in batches:
            torch.autograd.grad(model(**batch).loss, leaf)
    for handle in handles:
        handle.remove()
    for name, g in found.items():
        branch = layers[name].branch_of(NAME)
        count = max(part.count for part in branch.bases)
        left, _, right = torch.linalg.svd(g.double(), full_matrices=False)
        give(branch, sides(right.T[:, :count], left[:, :count]))


def joint(model: nn.Module, batches: Batches) -> None:
    """The preset's directions, in common for all layers of a kind.

    The leading eigenvectors of the sum of G^T G, and of G G^T, each G over its norm.
    """
    layers = layers_of(model)
    squares: dict[tuple[str, str], torch.Tensor] = {}
    for name, g in whole_gradients(model, batches).items():
        kind, g = name.rpartition(".")[2], g / g.norm()
        for end, square in (("in", g.T @ g), ("out", g @ g.T)):
            squares[kind, end] = squares.get((kind, end), 0) + square
    vectors = {place: torch.linalg.eigh(square.double()).eigenvectors.flip(1) for place, square in squares.items()}
    for name, layer in layers.items():
        branch, kind = layer.branch_of(NAME), name.rpartition(".")[2]
        count = max(part.count for part in branch.bases)
        give(branch, sides(*(vectors[kind, end][:, :count] for end in ("in", "out"))))


def without_leading_inputs(model: nn.Module, batches: Batches) -> None:
    """The preset's directions, of the gradient without what lies along the leading direction of the inputs.

    That one is nearly the inputs' mean, so what reads it adds a constant to the layer's output.
    """
    layers, sizes = layers_of(model), inputs_of(model, batches)
    for name, g in whole_gradients(model, batches).items():
        branch = layers[name].branch_of(NAME)
        count = max(part.count for part in branch.bases)
        loud = torch.linalg.eigh(sizes[name].double()).eigenvectors[:, -1:]
        left, _, right = torch.linalg.svd(g.double() - g.double() @ loud @ loud.T, full_matrices=False)
        give(branch, sides(right.T[:, :count], left[:, :count]))
