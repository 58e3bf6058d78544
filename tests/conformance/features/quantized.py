"""Base models whose linear layers are quantized. Other schemes, on larger models: tests/adapter/test_quantized.py."""

import warnings
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel, get_peft_model
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn
from transformers import BitsAndBytesConfig, PreTrainedModel, TorchAoConfig

from tests.conformance.case import Case, NotApplicable, Refused, trained
from tests.conformance.features.merging import NO_WEIGHT
from tests.conformance.features.registry import feature
from tests.conformance.table import NOT_INSTALLED


def eight_bit(head: str) -> BitsAndBytesConfig:
    return BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=[head])


def torchao_int8(head: str) -> TorchAoConfig:
    from torchao.quantization import Int8WeightOnlyConfig

    return TorchAoConfig(Int8WeightOnlyConfig(), modules_to_not_convert=[head])


def quantized(case: Case, folder: Path, scheme: Callable[[str], Any]) -> nn.Module:
    """The base model but for its head, saved and loaded with quantized layers."""
    package = "torchao" if scheme is torchao_int8 else "bitsandbytes"
    if find_spec(package) is None:
        raise NotApplicable(f"{package} {NOT_INSTALLED}")
    base = case.base()
    if not isinstance(base, PreTrainedModel):
        raise NotApplicable("it is no model of transformers")
    if case.family.name == "GPT-2" and scheme is torchao_int8:
        raise NotApplicable("torchao leaves Conv1D as it is")
    base.save_pretrained(folder / "base")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model: nn.Module = type(base).from_pretrained(
            folder / "base", quantization_config=scheme(case.family.head), dtype=torch.float32, device_map="cpu"
        )
    return model.eval()


def check_training(case: Case, folder: Path, scheme: Callable[[str], Any]) -> None:
    before = case.output(quantized(case, folder, scheme))
    assert not torch.equal(before, case.output(case.base()))
    model = get_peft_model(quantized(case, folder, scheme), case.config()).eval()
    layer = next(module for module in model.modules() if isinstance(module, BaseTunerLayer))
    assert type(layer.get_base_layer().weight) is not nn.Parameter
    assert torch.equal(case.output(model), before)
    start = {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}
    trained(case, model, steps=3)
    assert all(not torch.equal(p, start[name]) for name, p in model.named_parameters() if name in start)
    model.save_pretrained(folder / "adapter")
    again = PeftModel.from_pretrained(quantized(case, folder, scheme), folder / "adapter").eval()
    assert torch.equal(case.output(again), case.output(model))


def check_merging(case: Case, folder: Path, scheme: Callable[[str], Any]) -> Refused | None:
    before = case.output(quantized(case, folder, scheme))
    torch.manual_seed(1)
    model = get_peft_model(quantized(case, folder, scheme), case.config(init_weights=False)).eval()
    wanted = case.output(model)
    if case.has_circuit:
        with pytest.raises(NotImplementedError, match="qweft export"):
            model.merge_and_unload()
        assert torch.equal(case.output(model), wanted)
        return Refused(NO_WEIGHT)
    # the merged weight is quantized again
    assert (case.output(model.merge_and_unload()) - wanted).norm() < 0.15 * (before - wanted).norm()
    return None


for _name, _scheme in (("bitsandbytes 8-bit", eight_bit), ("torchao int8", torchao_int8)):
    feature(f"{_name} base")(partial(check_training, scheme=_scheme))
    feature(f"{_name} base: `merge_and_unload`")(partial(check_merging, scheme=_scheme))
