"""What contracting both operators of every layer costs a model of 7 billion parameters, against a step of 4,096 tokens.

The shapes are those of DeepSeek-R1-Distill-Qwen-7B: 28 layers, width 3584, MLP 18944, 4 key-value heads of 128; q_proj
(3584 to 3584) and v_proj (3584 to 512), r = 10, inner width 256, bond 8, as in configs/paper-7b.yaml.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from benchmarks.rounds import alternate, medians
from torch.nn.functional import linear

from qweft.adapter.branch import make_branch
from qweft.adapter.build import prepare
from qweft.adapter.config import QwthnConfig
from qweft.adapter.maps import MpoMap

LAYERS, WIDTH, MLP, KEYS, TOKENS, R = 28, 3584, 18944, 512, 4096, 10


def layer_products() -> list[tuple[int, int]]:
    """(in, out) of every linear map of one layer of the base model."""
    attention = [(WIDTH, WIDTH), (WIDTH, KEYS), (WIDTH, KEYS), (WIDTH, WIDTH)]
    return [*attention, (WIDTH, MLP), (WIDTH, MLP), (MLP, WIDTH)]


def contraction_multiplications(rows: int, shapes: Sequence[tuple[int, ...]]) -> int:
    """Of `tensornet.left_multiply`: for each core rows x input modes done x later output modes x core.

    Neighbouring cores are one core there, whose own contraction counts, too.
    """
    total, done = 0, 1
    pairs = list(zip(shapes[::2], shapes[1::2], strict=False))
    total += sum(math.prod(one) * math.prod(other[1:]) for one, other in pairs)
    paired = [(one[0], one[1] * other[1], one[2] * other[2], other[3]) for one, other in pairs]
    shapes = [*paired, *shapes[2 * len(pairs) :]]
    for position, (left, out, into, right) in enumerate(shapes):
        later = 1
        for _, mode, _, _ in shapes[position + 1 :]:
            later *= mode
        total += rows * done * later * left * out * into * right
        done *= into
    return total


def computed() -> dict[str, float]:
    """Multiplications of one step, forward and backward: the contraction's part and the base model's.

    The base model computes each product once forward and once backward (its weights are frozen); the contraction is
    computed forward, again in the backward, and backward to both of its factors: four times in all. Attention itself
    and the output embedding would only add to the base model.
    """
    both = 0
    for out in (WIDTH, KEYS):
        branch = make_branch(QwthnConfig(r=R), WIDTH, R, out)
        assert isinstance(branch.compress, MpoMap) and isinstance(branch.expand, MpoMap)
        compress = [tuple(core.shape) for core in branch.compress.operator.cores]
        expand = [tuple(core.shape) for core in branch.expand.operator.cores]
        turned = [(left, into, out_mode, right) for left, out_mode, into, right in expand]
        both += contraction_multiplications(R, compress) + contraction_multiplications(R, turned)
    base = 2 * TOKENS * sum(into * out for into, out in layer_products())
    return {"contraction": 4.0 * both * LAYERS, "base": float(base) * LAYERS, "share": 4 * both / base}


def measure(rounds: int) -> dict[str, Any]:
    """The share by shapes, and as measured on one layer: both adapters' contraction against its seven products."""
    config = QwthnConfig(r=R, circuit_layers=R)  # the recorded sizes
    branches = [make_branch(config, WIDTH, R, out) for out in (WIDTH, KEYS)]
    for branch in branches:
        branch.compress.reset("recorded", zero=False)
        branch.core.reset("recorded")
        branch.expand.reset("recorded", zero=False)
    weights = {shape: torch.randn(shape[1], shape[0]) / shape[0] ** 0.5 for shape in set(layer_products())}
    inputs = {into: torch.randn(TOKENS // 8, into) for into in (WIDTH, MLP)}  # an eighth of the tokens, times eight

    def contract() -> None:
        for branch in branches:
            built = prepare([branch], graph=True)[0]
            torch.autograd.backward(built.compress.sum() + built.expand.sum())

    def products() -> None:
        for into, out in layer_products():
            x = inputs[into].requires_grad_()
            linear(x, weights[into, out]).sum().backward()
            x.grad = None

    typical = medians(alternate({"contraction": contract, "products": products}, rounds))
    return {
        "computed": computed(),
        "measured": {
            "contraction_seconds": typical["contraction"],
            "products_seconds": 8 * typical["products"],
            "share": typical["contraction"] / (8 * typical["products"]),
        },
    }
