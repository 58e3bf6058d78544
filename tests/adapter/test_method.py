"""QWTHN as a method of PEFT: zero start, gradients, files, several adapters, merging."""

import pytest
import torch
from peft import get_peft_model

import qweft
from qweft import QweftError, QwthnConfig
from tests.tiny_models import tiny_llama

PRESETS = list(qweft.presets())
TOKENS = torch.arange(24).view(2, 12)


def small(preset, **changes):
    return QwthnConfig.preset(preset, **{"r": 3, "width": 8, "bond_dimension": 2, "circuit_layers": 2, **changes})


def logits(model):
    with torch.no_grad():
        return model(TOKENS).logits


def trained(model, steps=3):
    """A few steps of plain training, so that no part of the adapter is at its start."""
    model.train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.002)
    for _ in range(steps):
        model(input_ids=TOKENS, labels=TOKENS).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return model.eval()


def test_an_adapter_is_not_loaded_over_a_merged_one(tmp_path):
    """Unmerging would take off the new one, which was never added."""
    model = get_peft_model(tiny_llama(), small("mpo", init_weights=False, target_modules=["q_proj"])).eval()
    wanted = logits(model)
    model.save_pretrained(tmp_path)
    model.merge_adapter()
    with pytest.raises(QweftError, match="'default' is merged into the base model; call unmerge_adapter"):
        model.load_adapter(str(tmp_path), "default")
    model.unmerge_adapter()
    model.load_adapter(str(tmp_path), "default")
    torch.testing.assert_close(logits(model), wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize("targets", [["q_proj"], ["layers.0.self_attn.q_proj"]])
def test_a_weight_of_two_layers_is_not_merged_into(targets):
    """As where layers were repeated: the other layer would get the change, too."""
    base = tiny_llama()
    first, second = base.model.layers
    second.self_attn.q_proj.weight = first.self_attn.q_proj.weight
    model = get_peft_model(base, small("mpo", init_weights=False, target_modules=targets)).eval()
    wanted = logits(model)
    for merge in (model.merge_adapter, model.merge_and_unload):
        with pytest.raises(ValueError, match=r"layers\.0\.self_attn\.q_proj shares its weight with model\.layers\.1"):
            merge()
    assert torch.equal(logits(model), wanted)
    base = tiny_llama()
    base.model.layers[1] = base.model.layers[0]  # one layer in two places, with one adapter
    model = get_peft_model(base, small("mpo", init_weights=False)).eval()
    wanted = logits(model)
    torch.testing.assert_close(logits(model.merge_and_unload()), wanted, rtol=0, atol=1e-5)
