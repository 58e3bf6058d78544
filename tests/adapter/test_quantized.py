"""Quantized base models beyond those of the table in docs: 4 bits, and layers that PEFT can only run forward.

Models are large enough for the kernels: multiples of a block of 64.
"""

import pytest
import torch
from peft import PeftModel, get_peft_model
from transformers import BitsAndBytesConfig, GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

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
