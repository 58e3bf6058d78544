"""Choice of the device and the type."""

import pytest
import torch

from qweft.core.errors import QweftError
from qweft.models.device import choose_device, choose_dtype


@pytest.mark.parametrize(("supported", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_the_type_auto_is_bfloat16_where_a_gpu_has_it(monkeypatch, supported, dtype):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: supported)
    assert choose_dtype("auto", torch.device("cuda")) == dtype


def test_the_type_auto_is_float32_on_the_cpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: True)
    assert choose_dtype("auto", torch.device("cpu")) == torch.float32


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("gpu", "device gpu: unknown; use auto, cpu, cuda"),
        ("cuda:99", "torch sees 0 CUDA devices"),
        ("mps", "torch sees 0 MPS devices"),
    ],
)
def test_a_device_that_is_not_there(monkeypatch, name, problem):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(QweftError, match=problem):
        choose_device(name)
