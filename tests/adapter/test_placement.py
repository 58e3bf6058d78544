"""Every tensor is made on the device of its layer: shown without a GPU on PyTorch's meta device, which has no numbers.

An operation on tensors of two devices fails by CUDA's rules: a tensor without dimensions may be on the CPU, and only a
copy moves numbers. Reading a number of a meta tensor fails by itself, as it would make a GPU wait.
"""

from contextlib import nullcontext
from typing import Any

import pytest
import torch
from peft import get_peft_model
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import qweft
from qweft import QwthnConfig
from qweft.adapter.directions import GradientSketch
from qweft.adapter.layer import QwthnLinear
from qweft.method.names import CORES
from tests.tiny_models import tiny_llama

META = torch.device("meta")
IDS = torch.tensor([[5, 9, 2, 7, 1, 3], [8, 8, 4, 1, 6, 2]], device=META)
SMALL = {"r": 3, "width": 8, "bond_dimension": 2, "circuit_layers": 2, "init_weights": False}
TARGETS = ["layers.0.self_attn.v_proj", "layers.1.mlp.down_proj"]
COPIES = (torch.ops.aten._to_copy, torch.ops.aten.copy_)


class OneDevice(TorchDispatchMode):
    """Fails at an operation that mixes devices, or that makes a tensor with dimensions on the CPU beside the model."""

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = [each for each in tree_leaves((args, kwargs)) if isinstance(each, torch.Tensor)]
        found = function(*args, **(kwargs or {}))
        made = [each for each in tree_leaves(found) if isinstance(each, torch.Tensor)]
        places = {each.device for each in (*given, *made) if each.dim()}
        assert places <= {META}, f"{function} runs on {places}"
        return found


def adapted(**fields: Any) -> Any:
    """A tiny model on the device with an adapter."""
    preset = fields.pop("preset", "qtha")
    return get_peft_model(tiny_llama(), QwthnConfig.preset(preset, target_modules=TARGETS, **SMALL | fields)).to(META)


def step(model: Any) -> None:
    """A step of training and a pass without gradients; the second time, with filled caches, on one device alone."""
    for place in (nullcontext(), OneDevice()):
        with place:
            _step(model)


def _step(model: Any) -> None:
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=0.1)
    model(input_ids=IDS).logits.square().mean().backward()
    assert trained and all(parameter.grad is not None and parameter.grad.device == META for parameter in trained)
    optimizer.step()
    with torch.no_grad():
        model(input_ids=IDS)


@pytest.mark.parametrize("preset", qweft.presets())
def test_steps_of_every_preset(preset):
    model = adapted(preset=preset)
    step(model)
    for layer in (module for module in model.modules() if isinstance(module, QwthnLinear)):
        built = layer.prepared("default")
        assert all(tensor.device == META for tensor in (built.compress, built.expand, *built.angles))


@pytest.mark.parametrize("core", CORES)
def test_steps_of_every_core(core):
    model = adapted(compress="dense", core=core)
    step(model)


@pytest.mark.parametrize(("into", "out"), [(6, 4), (60, 90)])
def test_a_sketch_is_summed_on_the_device(into, out):
    sketch = GradientSketch(into, out, 1, META)
    with OneDevice():
        sketch.add(torch.empty(2, 5, into, device=META), torch.empty(2, 5, out, device=META))
