"""A base model in 4 bits that was called before it is trained, as loading and validation do."""

import pytest
import torch
from peft import get_peft_model
from tests.adapter.test_quantized import llama

from qweft import QwthnConfig
from qweft.training.config import TrainingConfig
from qweft.training.loop import Unpacking, fit

bitsandbytes = pytest.importorskip("bitsandbytes")

ROW = {"input_ids": list(range(1, 13)), "labels": list(range(1, 13))}
TRAINING = TrainingConfig(learning_rate=0.05, max_steps=3, batch_size=2, gradient_accumulation=1)


def four_bits():
    """A tiny Llama whose layers, but the head, are of bitsandbytes, with an adapter."""
    torch.manual_seed(0)
    model = llama().to(torch.bfloat16).requires_grad_(False)
    for name, module in list(model.named_modules()):
        if isinstance(module, torch.nn.Linear) and name != "lm_head":
            new = bitsandbytes.nn.Linear4bit(module.in_features, module.out_features, bias=False, quant_type="nf4")
            new.weight = bitsandbytes.nn.Params4bit(module.weight.data, requires_grad=False, quant_type="nf4")
            parent, _, child = name.rpartition(".")
            setattr(model.get_submodule(parent), child, new.to("cpu"))
    torch.manual_seed(1)
    return get_peft_model(model, QwthnConfig.preset("mpo", target_modules=["q_proj", "v_proj"]))


def packed(model):
    return [
        each for each in Unpacking(model).layers if getattr(each.weight.quant_state, "packing_format_for_cpu", False)
    ]


def test_a_call_before_the_training_takes_no_gradient_away():
    plain, called = four_bits(), four_bits().eval()
    with torch.no_grad():
        called(input_ids=torch.tensor([ROW["input_ids"]]))
    if not packed(called):
        pytest.skip("this processor has no kernel for packed weights")
    for model in (plain, called):
        start = {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}
        fit(model, [ROW] * 6, 0, TRAINING)
        still = [name for name, p in model.named_parameters() if name in start and torch.equal(p, start[name])]
        assert not still  # the packed kernel passes no gradient to what is below it
    assert not packed(called)
