"""LoRA's start from gradients: PEFT's own, the same function at first, and an adapter that plain weights carry."""

import pytest
import torch
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from tests.tiny_models import tiny_gpt2, tiny_llama

from qweft.adapter.attach import adapter_config
from qweft.comparison.adapters import take_off
from qweft.data.batches import Collator
from qweft.errors import QweftError
from qweft.models.load import checksum
from qweft.training.config import TrainingConfig
from qweft.training.loop import fit
from qweft.training.run import save_adapter
from qweft.training.starts import attach_for_training

LORA_GA = {"peft_type": "LORA", "r": 2, "target_modules": ["q_proj", "v_proj"], "init_lora_weights": "lora_ga"}
ROWS = [{"input_ids": list(range(k, k + 10)), "labels": list(range(k, k + 10))} for k in range(8)]
BATCHES = [Collator(0)(ROWS[:4]), Collator(0)(ROWS[4:])]


def logits(model):
    return model.eval()(input_ids=BATCHES[0]["input_ids"]).logits


BUDGET = TrainingConfig(max_steps=3, batch_size=4, gradient_accumulation=2, learning_rate=1e-2)


def started(model=None, **fields):
    torch.manual_seed(3)
    return attach_for_training(model or tiny_llama(), adapter_config(LORA_GA | fields), ROWS, 0, BUDGET)


def test_it_is_not_loras_usual_start():
    for name, parameter in started().named_parameters():
        if "lora_B" in name:
            assert parameter.abs().max() > 0 and parameter.requires_grad
    usual = started(init_lora_weights=True)
    assert all(not p.any() for name, p in usual.named_parameters() if "lora_B" in name)


def test_gradients_are_those_of_the_rows(monkeypatch):
    """A's rows span the leading right singular vectors of the mean gradient by the weight."""
    model = tiny_llama()
    weight = model.model.layers[0].self_attn.q_proj.weight
    for batch in (ROWS[:4], ROWS[4:]):
        model(**Collator(0)(batch)).loss.backward()
    leading = torch.linalg.svd(weight.grad).Vh[:2]
    monkeypatch.setattr(TrainingConfig, "rows_for_bases", lambda *_: len(ROWS))
    a = started().base_model.model.model.layers[0].self_attn.q_proj.lora_A["default"].weight
    inside = torch.linalg.qr(leading.T).Q
    torch.testing.assert_close(inside @ inside.T @ a.T, a.T, rtol=1e-2, atol=1e-3)


def test_the_model_computes_the_same_at_first():
    plain = logits(tiny_llama())
    assert not torch.allclose(logits(started().unload()), plain, atol=1e-4)
    torch.testing.assert_close(logits(started()), plain, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("fields", [{}, {"use_rslora": True}, {"rank_pattern": {"v_proj": 1}}])
def test_the_saved_adapter_is_for_plain_weights(fields, tmp_path):
    model = started(**fields)
    before = checksum(tiny_llama())
    fit(model, ROWS, 0, BUDGET)
    wanted = logits(model)
    assert not torch.allclose(wanted, logits(tiny_llama()), atol=1e-2)
    save_adapter(model, tmp_path / "adapter")
    loaded = PeftModel.from_pretrained(tiny_llama(), tmp_path / "adapter")
    torch.testing.assert_close(logits(loaded), wanted, rtol=1e-4, atol=1e-5)
    assert all(layer.r["default"] % 2 == 0 for layer in loaded.modules() if isinstance(layer, LoraLayer))
    assert checksum(take_off(model)) == before


@pytest.mark.parametrize("targets", [["wte"], ".*wte"])
def test_targets_that_cannot_start_so_are_one_sentence(targets):
    with pytest.raises(QweftError, match="name linear layers of plain numbers"):
        started(tiny_gpt2(), target_modules=targets)


@pytest.mark.parametrize("target", ["lm_head", "embed_tokens"])
def test_embeddings_are_refused_and_no_weight_is_changed(target):
    model = tiny_llama()
    with pytest.raises(QweftError, match="cannot start on embeddings or the head"):
        started(model, target_modules=["q_proj", target])
    check_untouched(model)


def check_untouched(model):
    found = {name.replace(".base_layer", ""): weight for name, weight in model.named_parameters()}
    assert all(torch.equal(found[name], weight) for name, weight in tiny_llama().named_parameters())
