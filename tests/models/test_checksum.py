"""The checksum tells changed weights."""

import pytest
import torch

from qweft.models.checksum import checksum
from tests.tiny_models import tiny_llama


@pytest.mark.parametrize("config", ["Int8WeightOnlyConfig", "Float8WeightOnlyConfig"])
def test_the_checksum_tells_weights_of_torchao_apart(config):
    quantization = pytest.importorskip("torchao.quantization")
    model, equal, changed = (tiny_llama() for _ in range(3))
    with torch.no_grad():
        changed.model.layers[0].self_attn.q_proj.weight.mul_(2)
    for quantized in (model, equal, changed):
        quantization.quantize_(quantized, getattr(quantization, config)())
    assert checksum(model) == checksum(equal)
    assert checksum(model) != checksum(changed)
