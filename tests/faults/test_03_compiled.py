"""Fault 3: keys prefixed by torch.compile. Compile, save, load uncompiled."""

import pytest
import torch
from peft import PeftModel, get_peft_model
from safetensors.torch import load_file

from tests.adapter.frozen.base import Base, example
from tests.adapter.test_method import small

FILE = "adapter_model.safetensors"


def config(head=None, preset="mpo"):
    # outputs of order one, so that the tolerance is one of rounding
    return small(preset, target_modules=["first"], init_weights=False, modules_to_save=head)


def adapted(part, head):
    """An adapted model, compiled as a whole, in its base alone, or in one of its layers; its head is not the base's."""
    base = Base()
    if part == "base":
        model = get_peft_model(torch.compile(base, backend="eager"), config(head))
    else:
        model = get_peft_model(base, config(head))
    for name, parameter in model.named_parameters():
        if "modules_to_save" in name:
            torch.nn.init.normal_(parameter)
    if part == "whole":
        return torch.compile(model, backend="eager").eval()
    if part == "layer":
        base.first = torch.compile(base.first, backend="eager")
    return model.eval()


@torch.no_grad()
def output(model):
    return model(example())


@pytest.mark.parametrize("head", [None, ["second"]])
@pytest.mark.parametrize("part", ["whole", "base", "layer"])
def test_saved_compiled_and_loaded_uncompiled(tmp_path, part, head):
    model = adapted(part, head)
    wanted = output(model)
    model.save_pretrained(tmp_path)
    assert not [key for key in load_file(tmp_path / FILE) if "_orig_mod" in key]
    again = PeftModel.from_pretrained(Base(), tmp_path).eval()
    torch.testing.assert_close(output(again), wanted, rtol=0, atol=1e-5)
    assert not torch.allclose(wanted, output(Base()), atol=1e-2)
