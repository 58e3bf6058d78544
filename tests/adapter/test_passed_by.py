"""Layers whose weight a model reads without calling them: an adapter there would have no effect, in silence."""

import warnings

import pytest
import torch
from peft import get_peft_model
from torch import nn
from transformers import (
    FalconMambaConfig,
    FalconMambaForCausalLM,
    JambaConfig,
    JambaForCausalLM,
    MambaConfig,
    MambaForCausalLM,
    WavLMConfig,
    WavLMModel,
)

from qweft import QweftError, QwthnConfig

MAMBA = {"vocab_size": 16, "hidden_size": 8, "num_hidden_layers": 1, "state_size": 2}
WAVLM = {
    "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8,
    "conv_dim": (4,), "conv_kernel": (3,), "conv_stride": (2,), "num_feat_extract_layers": 1,
    "num_conv_pos_embeddings": 2, "num_conv_pos_embedding_groups": 1,
}  # fmt: skip
JAMBA = {
    "vocab_size": 16, "hidden_size": 8, "num_hidden_layers": 1, "intermediate_size": 8, "num_attention_heads": 2,
    "num_key_value_heads": 2, "num_experts": 1, "use_mamba_kernels": False, "mamba_d_state": 2,
}  # fmt: skip
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


@pytest.mark.parametrize(
    ("model", "name"),
    [
        (lambda: MambaForCausalLM(MambaConfig(**MAMBA)), "dt_proj"),
        (lambda: FalconMambaForCausalLM(FalconMambaConfig(**MAMBA)), "dt_proj"),
        (lambda: JambaForCausalLM(JambaConfig(**JAMBA)), "dt_proj"),
        (lambda: WavLMModel(WavLMConfig(**WAVLM)), "k_proj"),
        (Holder, "out_proj"),
    ],
)
def test_layers_that_are_never_called_are_refused(model, name):
    model = model()
    keys = set(model.state_dict())
    with pytest.raises(QweftError, match=rf"without calling the layer.*leave {name} out of target_modules"):
        get_peft_model(model, small(name))
    assert set(model.state_dict()) == keys


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
