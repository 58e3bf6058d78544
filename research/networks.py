"""Networks with axes for the layer and the module, as other methods have them: one for all layers, no circuit."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from qweft.adapter.cores import Core
from research.changes import NAME, Batches, Change, core_of, has_other_parts, layers_of, replace_core


class AxesCore(Core):
    """h = K c, K made of a tensor of the layer's block and one of its kind, each in common with others."""

    def __init__(self, block: nn.Parameter, kind: nn.Parameter):
        super().__init__()
        self.block, self.kind = block, kind

    def tensors(self) -> list[torch.Tensor]:
        return [self.block, self.kind]

    def combine(self, expand: torch.Tensor, tensors: Sequence[torch.Tensor]) -> torch.Tensor:
        """K = G3 G2 of matrices (r, r), the block's G2 next to C; diag(a * b) of vectors (r,)."""
        block, kind = tensors
        if block.ndim == expand.ndim:
            return expand @ kind @ block
        return expand * (block * kind).unsqueeze(-2)


READS = {"o_proj": "heads", "down_proj": "inner"}
"""What a kind of layer reads, where it is not the residual stream."""
WRITES = {"o_proj": "stream", "down_proj": "stream"}
"""What it writes to, where that is not its own."""


def with_axes(start: Callable[[int], torch.Tensor], spaces: bool = False) -> Change:
    """One C for all layers of an input size, one E for all of an output size, K made along the axes.

    Args:
        start: A tensor of an axis at r.
        spaces: Whether layers have C in common that read the same space, and E that write to it, and not by size.
    """

    def change(model: nn.Module, batches: Batches) -> None:
        ends = common_ends(model, spaces)
        axes: dict[str, nn.Parameter] = {}
        for name, layer in ends.items():
            r, block = layer.qwthn_r[NAME], next(part for part in name.split(".") if part.isdigit())
            both = [axes.setdefault(key, nn.Parameter(start(r))) for key in (block, name.rpartition(".")[2])]
            replace_core(layer, AxesCore(*both))

    return change


def common_ends(model: nn.Module, spaces: bool) -> dict[str, Any]:
    """The layers, which have C and E in common now."""
    maps: dict[tuple[str, Any], nn.Module] = {}
    layers = layers_of(model)
    for name, layer in layers.items():
        kind = name.rpartition(".")[2]
        into = READS.get(kind, "stream") if spaces else layer.in_features
        out = WRITES.get(kind, kind) if spaces else layer.out_features
        compress, expand = layer.qwthn_compress, layer.qwthn_expand
        compress[NAME] = maps.setdefault(("in", into), compress[NAME])
        expand[NAME] = maps.setdefault(("out", out), expand[NAME])
    return layers


def own_middles(spaces: bool) -> Change:
    """C and E in common, and a K of each layer's own that starts at one."""

    def change(model: nn.Module, batches: Batches) -> None:
        for layer in common_ends(model, spaces).values():
            nn.init.eye_(core_of(layer).linear_weight)
            has_other_parts(layer)

    return change


metatt = with_axes(torch.eye)
"""As MetaTT-4D (arXiv 2506.09105): C, G2[block], G3[kind], E from the input on.

Its two ends are here one for each size, C starts as LoRA's first matrix, E at zero, G2 and G3 at ones."""

lorta = with_axes(torch.ones)
"""LoRTA (arXiv 2410.04060) without its axis for heads: sum over k of E_k a_k[block] b_k[kind] C_k; both ones."""
