"""Files on compiled base models; gradients of a compiled one: test_prepared.py, of its layers: tests/conformance."""

import pytest
import torch
from peft import PeftModel, get_peft_model

from qweft import QwthnConfig
from tests.tiny_models import tiny_gpt2


def each_block_compiled(model):
    for number, block in enumerate(model.transformer.h):
        model.transformer.h[number] = torch.compile(block)
    return model


@pytest.mark.parametrize("compiled", [torch.compile, each_block_compiled])
@pytest.mark.parametrize(
    "fields",
    [
        {"trainable_token_indices": [1, 2]},
        {"modules_to_save": ["lm_head"]},
        {"bias": "all"},
        {"bias": "qwthn_only"},
        {"save_embedding_layers": True},
    ],
    ids=["tokens", "head", "biases", "own biases", "embeddings"],
)
def test_all_of_a_file_arrives_on_a_compiled_base_model(tmp_path, compiled, fields):
    saved = {"save_embedding_layers": fields["save_embedding_layers"]} if "save_embedding_layers" in fields else {}
    config = QwthnConfig.preset("qtha", r=2, width=8, **({} if saved else fields))
    model = get_peft_model(tiny_gpt2(), config)
    for parameter in model.parameters():
        if parameter.requires_grad or saved:
            torch.nn.init.normal_(parameter)
    model.save_pretrained(tmp_path, **({"save_embedding_layers": "auto"} | saved))
    again = PeftModel.from_pretrained(compiled(tiny_gpt2()), tmp_path)
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    trained |= {name for name in model.state_dict() if saved and "wte" in name}
    found = {key.replace("_orig_mod.", ""): tensor for key, tensor in again.state_dict().items()}
    wanted = model.state_dict()
    assert trained and all(torch.equal(found[name], wanted[name]) for name in trained)
