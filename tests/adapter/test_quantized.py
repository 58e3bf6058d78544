"""Quantised base models: an adapter starts at one, trains on it, comes back on it, and does not enlarge its error."""

import pytest
import torch
from peft import PeftModel, get_peft_model
from transformers import BitsAndBytesConfig, LlamaConfig, LlamaForCausalLM

import qweft
from qweft import QwthnConfig
from qweft.adapter import QwthnLinear
from tests.adapter.test_method import logits
from tests.conformance.features.quantized import eight_bit, torchao_int8
from tests.conformance.methods import METHODS, make_config

TOKENS = torch.arange(24).view(2, 12)


def llama(blocks=2):
    """Large enough for the kernels: multiples of a block of 64."""
    torch.manual_seed(0)
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1}
    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": blocks, "max_position_embeddings": 64}
    return LlamaForCausalLM(LlamaConfig(vocab_size=64, initializer_range=0.2, **heads, **sizes)).eval()


@pytest.fixture
def four_bit(tmp_path):
    """Makes the model with its layers in 4 bits, the same at every call."""
    pytest.importorskip("bitsandbytes")
    llama().save_pretrained(tmp_path / "base")

    def load(dtype=torch.float32):
        scheme = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype)
        how = {"quantization_config": scheme, "dtype": dtype, "device_map": "cpu"}
        return LlamaForCausalLM.from_pretrained(tmp_path / "base", **how)

    return load


def config(method):
    return make_config(method, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("method", METHODS)
def test_four_bits_start_exact_train_and_come_back(four_bit, tmp_path, method, dtype):
    base = logits(four_bit(dtype))
    assert 0.01 < (base - logits(llama())).norm() / base.norm() < 0.6
    assert torch.equal(logits(get_peft_model(four_bit(dtype), config(method)).eval()), base)
    # another model: on some CPUs no gradient passes through layers of bitsandbytes that ran in evaluation mode before
    model = get_peft_model(four_bit(dtype), config(method)).train()
    start = {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.002)
    losses = []
    for _ in range(4):
        loss = model(input_ids=TOKENS, labels=TOKENS).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    assert all(not torch.equal(p, start[name]) for name, p in model.named_parameters() if name in start)
    model.eval().save_pretrained(tmp_path / "adapter")
    again = PeftModel.from_pretrained(four_bit(dtype), tmp_path / "adapter").eval()
    assert torch.equal(logits(again), logits(model))


def test_the_weight_of_four_bits_is_the_same_before_and_after_the_model_ran(four_bit):
    """On some CPUs bitsandbytes packs the weights anew at the first call, and PEFT takes the packed for the plain."""
    model = get_peft_model(four_bit(), config("mpo")).eval()
    layer = next(module for module in model.modules() if isinstance(module, QwthnLinear))
    before = layer.get_base_weight().clone()
    assert before.norm() > 1
    logits(model)
    # what was packed has its scales in bfloat16
    torch.testing.assert_close(layer.get_base_weight(), before, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("scheme", [eight_bit, torchao_int8])
@pytest.mark.parametrize("preset", qweft.presets())
def test_eight_bits_change_the_output_of_an_adapted_model_little(tmp_path, preset, scheme):
    """As PEFT's test_quantized_output_similar_to_non_quantized asks of its methods."""
    pytest.importorskip("torchao" if scheme is torchao_int8 else "bitsandbytes")
    plain = llama(blocks=4)
    plain.save_pretrained(tmp_path)
    quantised = LlamaForCausalLM.from_pretrained(tmp_path, quantization_config=scheme("lm_head"), device_map="cpu")
    outputs = []
    for base in (plain, quantised.eval()):
        torch.manual_seed(1)  # the same adapter on both
        adapter = QwthnConfig.preset(preset, init_weights=False, target_modules=["q_proj", "v_proj"])
        outputs.append(logits(get_peft_model(base, adapter).eval()).flatten())
    assert torch.corrcoef(torch.stack(outputs))[0, 1] > 0.9
