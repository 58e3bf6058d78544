"""Quantized base models beyond those of the table in docs: 4 bits, and layers that PEFT can only run forward.

Models are large enough for the kernels: multiples of a block of 64.
"""

import sys
from types import ModuleType

import pytest
import torch
from peft import PeftModel, get_peft_model
from torch import nn
from transformers import BitsAndBytesConfig, GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

import qweft
from qweft.adapter import QwthnLinear
from tests.conformance.methods import METHODS, make_config

TOKENS = torch.arange(24).view(2, 12)


def llama():
    torch.manual_seed(0)
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1}
    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "max_position_embeddings": 64}
    return LlamaForCausalLM(LlamaConfig(vocab_size=64, initializer_range=0.2, **heads, **sizes)).eval()


def gpt2():
    torch.manual_seed(0)
    sizes = {"n_embd": 64, "n_layer": 2, "n_head": 2, "n_positions": 64, "initializer_range": 0.2}
    return GPT2LMHeadModel(GPT2Config(vocab_size=64, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0, **sizes)).eval()


TARGETS = {llama: ["q_proj", "v_proj"], gpt2: ["c_attn", "c_fc"]}


@pytest.fixture
def four_bit(tmp_path):
    """Makes the model with its layers in 4 bits, the same at every call."""
    pytest.importorskip("bitsandbytes")

    def load(make, dtype=torch.float32):
        make().save_pretrained(tmp_path / make.__name__)
        scheme = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype)
        return type(make()).from_pretrained(
            tmp_path / make.__name__, quantization_config=scheme, dtype=dtype, device_map="cpu"
        )

    return load


def logits(model):
    with torch.no_grad():
        return model(input_ids=TOKENS).logits.float()


def config(method, make, **changes):
    return make_config(method, target_modules=TARGETS[make], task_type="CAUSAL_LM", **changes)


def train(model, steps=4):
    """Returns the losses; asserts that each parameter of the adapter moved."""
    start = {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.002)
    model.train()
    losses = []
    for _ in range(steps):
        loss = model(input_ids=TOKENS, labels=TOKENS).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert all(not torch.equal(p, start[name]) for name, p in model.named_parameters() if name in start)
    model.eval()
    return losses


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("make", [llama, gpt2])
@pytest.mark.parametrize("method", METHODS)
def test_four_bits_start_exact_train_and_come_back(four_bit, tmp_path, method, make, dtype):
    base = logits(four_bit(make, dtype))
    assert 0.01 < (base - logits(make())).norm() / base.norm() < 0.6
    assert torch.equal(logits(get_peft_model(four_bit(make, dtype), config(method, make)).eval()), base)
    # another model: on some CPUs no gradient passes through layers of bitsandbytes that ran in evaluation mode before
    model = get_peft_model(four_bit(make, dtype), config(method, make))
    losses = train(model)
    assert losses[-1] < losses[0]
    model.save_pretrained(tmp_path / "adapter")
    again = PeftModel.from_pretrained(four_bit(make, dtype), tmp_path / "adapter").eval()
    assert torch.equal(logits(again), logits(model))


@pytest.mark.parametrize("make", [llama, gpt2])
def test_the_weight_of_four_bits_is_the_same_before_and_after_the_model_ran(four_bit, make):
    """On some CPUs bitsandbytes packs the weights anew at the first call, and PEFT takes the packed for the plain."""
    model = get_peft_model(four_bit(make), config("mpo", make)).eval()
    layer = next(module for module in model.modules() if isinstance(module, QwthnLinear))
    before = layer.get_base_weight().clone()
    assert (before.T if make is gpt2 else before).norm() > 1
    logits(model)
    # what was packed has its scales in bfloat16
    torch.testing.assert_close(layer.get_base_weight(), before, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("make", [llama, gpt2])
@pytest.mark.parametrize("method", ["mpo", "lora"])
def test_four_bits_merge_where_the_branch_is_linear(four_bit, method, make):
    base = logits(four_bit(make))
    torch.manual_seed(1)
    model = get_peft_model(four_bit(make), config(method, make, init_weights=False)).eval()
    wanted = logits(model)
    merged = logits(model.merge_and_unload())
    # the merged weight is rounded to 4 bits again; a branch that is lost or misread would be at 1 or beyond
    assert (merged - wanted).norm() < 0.75 * (base - wanted).norm()


class StandIn(nn.Module):
    """A stand-in for the layers of GPTQ: 8-bit integers and scales in buffers, and no `weight`."""

    def __init__(self, linear):
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        scales = linear.weight.detach().abs().amax(1, keepdim=True) / 127
        self.register_buffer("qweight", (linear.weight.detach() / scales).round().to(torch.int8))
        self.register_buffer("scales", scales)

    def forward(self, x):
        return nn.functional.linear(x, (self.qweight * self.scales).to(x.dtype))


@pytest.fixture
def gptq(monkeypatch):
    """Makes the Llama with stand-ins where PEFT recognises layers of GPTQ; the package itself is not installed."""
    layers = ModuleType("gptqmodel.nn_modules.qlinear")
    layers.BaseQuantLinear = StandIn
    for name in ("gptqmodel", "gptqmodel.nn_modules"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, layers.__name__, layers)
    for place in ("quantization_utils", "other"):
        monkeypatch.setattr(f"peft.utils.{place}.is_gptqmodel_available", lambda: True)

    def load():
        model = llama()
        for block in model.model.layers:
            for name in TARGETS[llama]:
                setattr(block.self_attn, name, StandIn(getattr(block.self_attn, name)))
        return model

    return load


@pytest.mark.parametrize("preset", qweft.presets())
def test_a_layer_that_only_runs_forward_can_be_adapted(gptq, tmp_path, preset):
    base = logits(gptq())
    assert not torch.equal(base, logits(llama()))
    model = get_peft_model(gptq(), config(preset, llama)).eval()
    assert "quantization_backend='gptq'" in repr(model)
    assert torch.equal(logits(model), base)
    losses = train(model)
    assert losses[-1] < losses[0]
    model.save_pretrained(tmp_path)
    assert torch.equal(logits(PeftModel.from_pretrained(gptq(), tmp_path).eval()), logits(model))
