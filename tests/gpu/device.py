"""The device of these tests, models for it, and comparisons with the CPU.

Where there is no GPU they run on the CPU with one preset and few sizes, so that a mistake in a test is found.
"""

import copy

import pytest
import torch
from peft import get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

import qweft
from qweft import QwthnConfig

HAS_CUDA = torch.cuda.is_available()
DEVICE = torch.device("cuda:0" if HAS_CUDA else "cpu")
PRESETS = list(qweft.presets()) if HAS_CUDA else ["qtha"]

gpu = pytest.mark.gpu
cuda_only = pytest.mark.skipif(not HAS_CUDA, reason="about CUDA itself; make gpu runs this where there is a GPU")
two_devices = pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices")

IDS = torch.arange(48).view(2, 24) % 40


def base(dtype=torch.float32):
    """A small Llama with weights so large that an adapter shows in its output."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "max_position_embeddings": 64}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1}
    return LlamaForCausalLM(LlamaConfig(vocab_size=64, initializer_range=0.2, **sizes, **heads)).to(dtype).eval()


def adapted(preset="qtha", dtype=torch.float32, seed=1, **changes):
    """The base model with an adapter of this preset, no part of it at zero; on the CPU."""
    model = base(dtype)
    torch.manual_seed(seed)
    targets = ["q_proj", "v_proj", "down_proj"]
    fields = {"r": 4, "circuit_layers": 3, "width": 16, "bond_dimension": 4, "init_weights": False}
    return get_peft_model(model, QwthnConfig.preset(preset, **{**fields, "target_modules": targets, **changes}))


def on_both(*args, **kwargs):
    """The same adapted model on the CPU and on the device."""
    here = adapted(*args, **kwargs)
    return here, copy.deepcopy(here).to(DEVICE)


def logits(model, ids=IDS):
    """The output, on the CPU."""
    with torch.no_grad():
        return model(input_ids=ids.to(next(model.parameters()).device)).logits.float().cpu()


def loss_and_gradients(model, ids=IDS, autocast=None):
    """Of one forward and backward pass, on the CPU."""
    model.zero_grad()
    place = next(model.parameters()).device
    ids = ids.to(place)
    with torch.autocast(place.type, dtype=autocast, enabled=autocast is not None):
        loss = model(input_ids=ids, labels=ids).loss
    loss.backward()
    assert all(p.grad is None or p.grad.device == p.device for p in model.parameters())
    found = {name: p.grad.detach().cpu() for name, p in model.named_parameters() if p.grad is not None}
    return loss.detach().float().cpu(), found


def assert_near(found, wanted, share):
    """Each tensor differs from the wanted one by at most this share of its norm."""
    assert found.keys() == wanted.keys() and wanted
    for name, tensor in wanted.items():
        difference = (found[name].double() - tensor.double()).norm() / tensor.double().norm().clamp_min(1e-12)
        assert difference <= share, f"{name}: {difference:.2e}"
