"""Fault 6: empty tensors written, from a sharded model that was not gathered. Refused when they are written."""

import pytest
import torch
from peft import get_peft_model

from qweft import QweftError
from tests.adapter.test_method import small
from tests.tiny_models import tiny_llama


def test_a_sharded_model_is_not_saved(tmp_path):
    model = get_peft_model(tiny_llama(), small("qtha"))
    for name, parameter in model.named_parameters():
        if name.endswith("angles"):
            parameter.data = torch.empty(0)
    with pytest.raises(QweftError, match=r"angles is empty here.*gather"):
        model.save_pretrained(tmp_path)
    assert not list(tmp_path.glob("*.safetensors"))
