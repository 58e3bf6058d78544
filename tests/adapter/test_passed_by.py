"""Layers whose weight a model reads without calling them: an adapter there would have no effect, in silence."""

import warnings

import pytest
import torch
from peft import get_peft_model
from torch import nn
from transformers import MambaConfig, MambaForCausalLM

from qweft import QwthnConfig

MAMBA = {"vocab_size": 16, "hidden_size": 8, "num_hidden_layers": 1, "state_size": 2}
SMALL = {"r": 2, "width": 4, "bond_dimension": 2, "init_weights": False}


def small(*targets, **changes):
    return QwthnConfig.preset("mpo", target_modules=list(targets), **{**SMALL, **changes})


class Fused(nn.Module):
    """Reads the weight of one of its layers, as a fused kernel does."""

    def __init__(self):
        super().__init__()
        self.called, self.read = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x):
        return self.called(x) @ self.read.weight


class Holder(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner, self.attention = Fused(), nn.MultiheadAttention(4, 2)
        self.config = {"model_type": "holder"}

    def forward(self, x, fails=False):
        if fails:
            raise RuntimeError("no call was finished")
        return self.attention(*[self.inner(x)] * 3)[0]


def test_training_warns_of_a_layer_that_transformers_never_calls():
    model = get_peft_model(MambaForCausalLM(MambaConfig(**MAMBA)), small("dt_proj"))
    with pytest.warns(UserWarning, match=r"without calling the adapted layer .*dt_proj"):
        model(torch.arange(6)[None])


def test_training_warns_of_a_layer_that_was_passed_by():
    model = get_peft_model(Holder(), small("called", "read"))
    x = torch.randn(3, 1, 4)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        with torch.no_grad():
            model(x)
        with pytest.raises(RuntimeError, match="no call was finished"):
            model(x, fails=True)
    model = get_peft_model(Holder(), small("called", "read"))
    with pytest.warns(UserWarning, match=r"without calling the adapted layer inner\.read, so"):
        model(x)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        model(x)
    assert not any(module._forward_pre_hooks for module in model.base_model.model.inner.modules())
