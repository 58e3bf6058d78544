"""Base models that see the answers that they are to predict are refused, before anything is trained."""

import pytest
import torch
import transformers
from transformers import LlamaForCausalLM

from qweft.core.errors import QweftError
from qweft.models.causal import check_outputs
from qweft.models.config import ModelConfig
from qweft.models.find import ModelSource
from qweft.models.load import load_model
from tests.conformance.families import decoders
from tests.data.tiny_tokenizer import CHATML, make_tokenizer
from tests.tiny_models import tiny_gpt2, tiny_llama

BERT = {
    "vocab_size": 400,
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 64,
}
T5 = {"vocab_size": 400, "d_model": 16, "d_ff": 16, "d_kv": 8, "num_layers": 1, "num_heads": 2}
SOURCE = ModelSource("mine", "mine", "folder", local=True)


@pytest.mark.parametrize(
    ("architecture", "head", "sizes", "problem"),
    [
        ("Bert", "ForMaskedLM", BERT, "BertLMHeadModel is not causal"),
        ("T5", "ForConditionalGeneration", T5, "none that transformers loads as a decoder"),
    ],
)
def test_an_encoder_is_refused(tmp_path, architecture, head, sizes, problem):
    torch.manual_seed(0)
    config = getattr(transformers, f"{architecture}Config")(**sizes)
    getattr(transformers, f"{architecture}{head}")(config).save_pretrained(tmp_path)
    make_tokenizer(CHATML).save_pretrained(tmp_path)
    with pytest.raises(QweftError, match=r"give a decoder \(a model saved as \.\.\.ForCausalLM\)$") as fault:
        load_model(ModelConfig(name=str(tmp_path), device="cpu"))
    assert problem in str(fault.value)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("make", [tiny_llama, tiny_gpt2])
def test_decoders_pass_in_every_type(make, dtype):
    check_outputs(make().to(dtype), SOURCE)


@pytest.mark.parametrize("family", decoders(), ids=lambda family: family.name)
def test_every_family_of_decoders_passes(family):
    check_outputs(family.make(), SOURCE)


def test_a_recurrent_decoder_passes():
    config = transformers.MambaConfig(vocab_size=64, hidden_size=16, num_hidden_layers=2, state_size=4)
    check_outputs(transformers.MambaForCausalLM(config).eval(), SOURCE)


def remove_causal_mask(model):
    """Make the attention of a model look at all tokens."""
    for layer in model.model.layers:
        attend = layer.self_attn.forward

        def attend_to_all(*args, attend=attend, attention_mask=None, **options):
            return attend(*args, attention_mask=None, **options)

        layer.self_attn.is_causal = False
        layer.self_attn.forward = attend_to_all


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_a_decoder_without_its_causal_mask_is_found_by_its_outputs(dtype):
    config = tiny_llama().config
    config.initializer_range = 0.3
    model = LlamaForCausalLM(config).eval().to(dtype)
    check_outputs(model, SOURCE)
    remove_causal_mask(model)
    with pytest.raises(QweftError, match=r"model mine: LlamaForCausalLM is not causal: a later token changes"):
        check_outputs(model, SOURCE)
