"""Fault 4: adapter names that contain each other. All survive transformers' calls too, each with its own head."""

import torch
from peft import get_peft_model

from tests.adapter.test_method import logits, small, trained
from tests.tiny_models import tiny_llama

NAMES = ("a", "ab", "mlp", "qwthn")


def test_through_transformers_with_a_trained_head(tmp_path):
    wanted = {}
    for rank, name in enumerate(NAMES, start=1):
        model = trained(get_peft_model(tiny_llama(), small("qtha", r=rank, modules_to_save=["lm_head"])))
        model.save_pretrained(tmp_path / name)
        wanted[name] = logits(model)
    again = tiny_llama()
    for name in NAMES:
        again.load_adapter(str(tmp_path / name), adapter_name=name)
    for name in NAMES:
        again.set_adapter(name)
        assert torch.equal(logits(again), wanted[name]), name
    again.delete_adapter("a")
    again.set_adapter("ab")
    assert torch.equal(logits(again), wanted["ab"])
