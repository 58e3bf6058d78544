"""Adapted models on a device that does not exist: collected by `test_placement.py`, in a child process.

Numbers are compared with those of the CPU, so a check also shows that the device computes.
"""

import copy
import importlib

import pytest
import torch
from peft import PeftModel, get_peft_model
from torch.utils.checkpoint import set_checkpoint_early_stop

import qweft
from qweft import QwthnConfig
from qweft.adapter import lazy_basis
from qweft.adapter.directions import GradientSketch
from qweft.method.names import CORES
from tests.placement.models import (
    FIRST,
    IDS,
    SECOND,
    SMALL,
    adapted,
    assert_placed,
    assert_same,
    base,
    built_tensors,
    device,
    off,
    step,
)

__all__ = ["device"]  # a fixture
find_bases = importlib.import_module("qweft.adapter.find_bases")  # the package's attribute is the function


@pytest.mark.parametrize("preset", qweft.presets())
def test_steps_of_training_and_generation(device, preset):
    here = adapted(preset=preset)
    there = copy.deepcopy(here).to(FIRST)
    assert_placed(there)
    check_steps(device, here, there)
    made = [(layer, tensor) for layer, tensors in built_tensors(there) for tensor in tensors]
    assert made and all(tensor.device == FIRST for _, tensor in made)
    here.eval(), there.eval()
    ids, fixed = IDS.to(FIRST), {"max_new_tokens": 3, "do_sample": False, "pad_token_id": 0}
    tokens = there.generate(input_ids=ids, attention_mask=torch.ones_like(ids), **fixed)
    assert torch.equal(off(tokens), here.generate(input_ids=IDS, attention_mask=torch.ones_like(IDS), **fixed))


def check_steps(device, here, there):
    """Two steps on both devices are equal, and the second one, with filled caches, makes a GPU wait for nothing."""
    optimizers = [torch.optim.SGD([p for p in m.parameters() if p.requires_grad], lr=1e-3) for m in (here, there)]
    ids = IDS.to(FIRST)
    for _ in range(2):
        wanted, gradients = step(here.train(), IDS, optimizers[0])
        device.notes.clear()
        loss, found = step(there.train(), ids, optimizers[1])
        torch.testing.assert_close(loss, wanted)
        assert_same(found, gradients)
    assert device.notes == []


@pytest.mark.parametrize("core", CORES)
def test_steps_of_every_core(device, core):
    here = adapted(compress="dense", core=core, expand="mpo", target_modules=["layers.0.self_attn.v_proj"])
    check_steps(device, here, copy.deepcopy(here).to(FIRST))


def test_generation_waits_for_nothing_of_ours(device):
    model = adapted(preset="qtha").to(FIRST).eval()
    with torch.no_grad():
        model(input_ids=IDS.to(FIRST))
        device.notes.clear()
        model(input_ids=IDS.to(FIRST))
    assert device.notes == []


def test_gradient_checkpointing(device):
    here = adapted(preset="qtha").train()
    wanted = step(here, IDS)
    there = copy.deepcopy(here).to(FIRST)
    there.gradient_checkpointing_enable({"use_reentrant": False, "preserve_rng_state": False})
    with set_checkpoint_early_stop(False):  # an exception in the thread of this device's backward pass ends the process
        loss, gradients = step(there, IDS.to(FIRST))
    torch.testing.assert_close(loss, wanted[0])
    assert_same(gradients, wanted[1])


@pytest.mark.parametrize("preset", qweft.presets())
def test_an_adapter_added_to_a_model_on_the_device(device, preset):
    model = get_peft_model(base().to(FIRST), QwthnConfig.preset(preset, **SMALL))
    model.add_adapter("other", QwthnConfig.preset(preset, **SMALL, init_weights=False))
    assert_placed(model)
    model.eval()
    with torch.no_grad():
        mixed = model(input_ids=IDS.to(FIRST), adapter_names=["other", "__base__"]).logits
        model.set_adapter("other")
        alone = model(input_ids=IDS.to(FIRST)).logits
    torch.testing.assert_close(off(mixed)[0], off(alone)[0])


@pytest.mark.parametrize("preset", ["mpo", "sparse", "subspace", "readout", "lora"])
def test_merging(device, preset):
    model = adapted(preset=preset).to(FIRST).eval()
    with torch.no_grad():
        wanted = off(model(input_ids=IDS.to(FIRST)).logits)
        model.merge_adapter()
        assert_placed(model)
        torch.testing.assert_close(off(model(input_ids=IDS.to(FIRST)).logits), wanted, rtol=1e-3, atol=1e-5)
        model.unmerge_adapter()
        torch.testing.assert_close(off(model(input_ids=IDS.to(FIRST)).logits), wanted, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("preset", ["qtha", "sparse"])
def test_saving_loading_and_hotswapping(device, tmp_path, preset):
    for number in (1, 2):
        model = adapted(seed=number, preset=preset).to(FIRST)
        model.save_pretrained(tmp_path / str(number))
    with torch.no_grad():
        wanted = off(model.eval()(input_ids=IDS.to(FIRST)).logits)
        # PEFT reads a file to the device that it finds, and there is none
        loaded = PeftModel.from_pretrained(base().to(FIRST), tmp_path / "2", torch_device="cpu").eval()
        assert_placed(loaded)
        torch.testing.assert_close(off(loaded(input_ids=IDS.to(FIRST)).logits), wanted, rtol=0, atol=0)
        other = PeftModel.from_pretrained(base().to(FIRST), tmp_path / "1", torch_device="cpu").eval()
        qweft.hotswap_adapter(other, tmp_path / "2")
        assert_placed(other)
        torch.testing.assert_close(off(other(input_ids=IDS.to(FIRST)).logits), wanted, rtol=0, atol=0)


@pytest.fixture
def sketched_on(monkeypatch):
    """The devices that gradients are summed on."""
    places = []

    class Told(GradientSketch):
        def __init__(self, into, out, r, device, *drawn):
            places.append(device)
            super().__init__(into, out, r, device, *drawn)

    for module in (find_bases, lazy_basis):
        monkeypatch.setattr(module, "GradientSketch", Told)
    return places


FIXED = {"subspace": {"width": 2}, "sparse": {"width": 2}, "readout": {}}


@pytest.mark.parametrize("basis", ["gradient", "weight", "random"])
@pytest.mark.parametrize("preset", FIXED)
def test_fixed_bases_are_found(device, sketched_on, preset, basis):
    """Before training, from batches on the CPU; `width` is so small that some layers are sketched."""
    fields = {**SMALL, "preset": preset, "basis": basis, "init_weights": True, "r": 1, **FIXED[preset]}
    here, there = adapted(**fields), adapted(**fields).to(FIRST)
    for model in (here, there):
        torch.manual_seed(5)
        sketched_on.clear()
        device.notes.clear()
        qweft.find_bases(model, [{"input_ids": IDS, "labels": IDS}])
    assert not [note for note in device.notes if note.startswith("find_bases.py") and "takes from the CPU" in note]
    assert set(sketched_on) == ({FIRST} if basis == "gradient" else set())
    assert_placed(there)
    weights = [{n: off(t) for n, t in model.named_buffers() if ".qwthn_" in n} for model in (here, there)]
    assert any(tensor.any() for tensor in weights[0].values())
    assert_same(weights[1], weights[0])


@pytest.mark.parametrize("preset", ["subspace", "sparse"])
def test_fixed_bases_are_found_in_the_first_backward_pass(device, sketched_on, preset):
    fields = {"preset": preset, "init_weights": True, "r": 1, "width": 2}
    here, there = adapted(**fields).train(), adapted(**fields).to(FIRST).train()
    with pytest.warns(UserWarning, match="first batch alone"):
        wanted = step(here, IDS)
    sketched_on.clear()
    with pytest.warns(UserWarning, match="first batch alone"):
        loss, gradients = step(there, IDS.to(FIRST))
    assert set(sketched_on) == {FIRST}
    torch.testing.assert_close(loss, wanted[0])
    assert_same(gradients, wanted[1])
    assert_placed(there)


@pytest.mark.parametrize(("into", "out", "whole"), [(6, 4, True), (60, 90, False)])
def test_a_sketch_is_summed_on_the_device(device, into, out, whole):
    generator = torch.Generator().manual_seed(0)
    x, dy = torch.randn(2, 5, into, generator=generator), torch.randn(2, 5, out, generator=generator)
    found = []
    for place in (torch.device("cpu"), FIRST):
        sketch = GradientSketch(into, out, 1, place)
        assert (sketch._whole is not None) == whole
        device.notes.clear()
        sketch.add(x.to(place), dy.to(place))
        assert all(total.device == place for total in sketch.sums())
        assert device.notes == []
        found.append(sketch.directions())
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(off(other.directions), one.directions, rtol=1e-4, atol=1e-5)


def on_two(model):
    """Put the second block on the second device, as a device map does, with the copies that accelerate's hooks make."""
    model.to(FIRST)
    inner = model.base_model.model.model
    inner.layers[1].to(SECOND)

    def moved(place):
        def before(_, args, kwargs):
            go = lambda value: torch.utils._pytree.tree_map(  # noqa: E731
                lambda leaf: leaf.to(place) if isinstance(leaf, torch.Tensor) else leaf, value
            )
            return go(args), go(kwargs)

        return before

    inner.layers[1].register_forward_pre_hook(moved(SECOND), with_kwargs=True)
    inner.norm.register_forward_pre_hook(moved(FIRST), with_kwargs=True)
    return model


@pytest.mark.parametrize("preset", qweft.presets())
def test_two_devices(device, preset):
    """Forward alone: PyTorch's backward pass knows one device of a backend that is written in Python."""
    here = adapted(preset=preset).eval()
    there = on_two(copy.deepcopy(here))
    with torch.no_grad():
        wanted = here(input_ids=IDS).logits
        torch.testing.assert_close(off(there(input_ids=IDS.to(FIRST)).logits), wanted)
    for layer, made in built_tensors(there):
        assert {tensor.device for tensor in made} == {layer.get_base_layer().weight.device}
    assert {layer.get_base_layer().weight.device for layer, _ in built_tensors(there)} == {FIRST, SECOND}
