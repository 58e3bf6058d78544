"""Tiny adapted models and layers for the tests of the analysis."""

import torch
from peft import LoraConfig, get_peft_model
from torch import nn

from qweft import QwthnConfig
from qweft.adapter import QwthnLinear
from tests.tiny_models import tiny_llama

SMALL = {"r": 3, "width": 8, "bond_dimension": 2, "circuit_layers": 2, "init_weights": False}
LORA = {"r": 3, "init_lora_weights": False, "target_modules": ["q_proj", "v_proj"]}


def adapted(preset, **changes):
    """A tiny model with an adapter that is not zero."""
    torch.manual_seed(3)
    return get_peft_model(tiny_llama(), QwthnConfig.preset(preset, **{**SMALL, **changes}))


def with_lora(**changes):
    torch.manual_seed(4)
    return get_peft_model(tiny_llama(), LoraConfig(**{**LORA, **changes}))


def batches(rows=24, seed=5):
    """Batches with padding and labels."""
    generator = torch.Generator().manual_seed(seed)
    found = []
    for ids in torch.randint(0, 64, (rows, 10), generator=generator).split(8):
        mask = torch.ones_like(ids)
        mask[::3, 6:] = 0
        found.append({"input_ids": ids, "attention_mask": mask, "labels": ids.masked_fill(mask == 0, -100)})
    return found


class OneLayer(nn.Module):
    """A model of one linear layer, for branches whose Jacobian can be had in full."""

    def __init__(self, into=7, out=9):
        super().__init__()
        self.only = nn.Linear(into, out)

    def forward(self, x):
        return self.only(x)


def one_layer(config, into=7, out=9, dtype=torch.float64):
    torch.manual_seed(6)
    model = get_peft_model(OneLayer(into, out), config).to(dtype)
    return model, model.get_base_model().only


def branch_of(layer, adapter_name="default"):
    """x to the branch's output, by the layer's own forward pass."""

    def branch(x):
        if isinstance(layer, QwthnLinear):
            return layer.add_branch(x.new_zeros(*x.shape[:-1], layer.out_features), x, adapter_name)
        return layer(x) - layer.base_layer(x)

    return branch
