"""Models for the checks of this folder, and the device as their fixture; importing this makes the device known."""

import pytest
import torch
from peft import get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

from qweft import QwthnConfig
from qweft.adapter import batched_build
from qweft.adapter.layer import QwthnLinear
from qweft.circuit import dense, fused
from qweft.circuit.precision import _moved
from tests.placement.accelerator import Placed, accelerator, register
from tests.rounding import assert_close

register()
FIRST, SECOND = torch.device("fake", 0), torch.device("fake", 1)
SMALL = {
    "r": 3,
    "start": "small",  # numbers of order one, whose rounding stays small
    "width": 8,
    "bond_dimension": 2,
    "circuit_layers": 2,
    "target_modules": ["q_proj", "v_proj", "up_proj"],
}
IDS = torch.tensor([[5, 9, 2, 7, 1, 3], [8, 8, 4, 1, 6, 2]])


@pytest.fixture
def device(monkeypatch):
    """The accelerator, without what an earlier test left in caches by device."""
    # a tensor of the device is of a class of its own, and the batched build takes PyTorch's two only
    plain = {Placed: torch.Tensor}
    monkeypatch.setattr(batched_build, "type", lambda value: plain.get(type(value), type(value)), raising=False)
    for cache in (_moved, dense.eigenbasis, fused.available):
        cache.cache_clear()
    with accelerator() as mode:
        yield mode


def base(seed=0):
    torch.manual_seed(seed)
    sizes = {"vocab_size": 32, "hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2}
    config = LlamaConfig(**sizes, num_attention_heads=2, num_key_value_heads=1, attn_implementation="eager")
    return LlamaForCausalLM(config)


def adapted(seed=1, **changes):
    torch.manual_seed(seed)
    fields = {**SMALL, "init_weights": False, **changes}
    preset = fields.pop("preset", None)
    return get_peft_model(base(), QwthnConfig.preset(preset, **fields) if preset else QwthnConfig(**fields))


def off(value):
    """The numbers of a tensor, on the CPU."""
    return value.held.clone() if isinstance(value, Placed) else value.detach().clone()


def tensors_of(model):
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


def assert_placed(model, *places):
    wrong = {name: t.device for name, t in tensors_of(model).items() if t.device not in (places or (FIRST,))}
    assert not wrong


def built_tensors(model):
    for layer in model.modules():
        if isinstance(layer, QwthnLinear):
            for built in layer.qwthn_prepared.values():
                yield layer, (built.compress, built.expand, *built.angles)


def step(model, ids, optimizer=None):
    """One step of training; returns the loss and the gradients."""
    model.zero_grad()
    loss = model(input_ids=ids, labels=ids).loss
    loss.backward()
    for parameter in model.parameters():
        assert parameter.grad is None or parameter.grad.device == parameter.device
    found = {name: off(p.grad) for name, p in model.named_parameters() if p.grad is not None}
    if optimizer is not None:
        optimizer.step()
    return off(loss), found


def assert_same(found, wanted):
    assert found.keys() == wanted.keys() and wanted
    for name in wanted:
        if wanted[name].is_floating_point():
            assert_close(found[name], wanted[name], 1e4)
        else:  # packed directions
            assert torch.equal(found[name], wanted[name])
