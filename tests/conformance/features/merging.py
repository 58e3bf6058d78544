"""What merging means: a weight where the branch is linear, a sentence where it depends on its input."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel, convert_to_lora, get_peft_model
from peft.tuners.tuners_utils import BaseTunerLayer

from tests.conformance.case import Case, Refused
from tests.conformance.features.adapters import tuner_layers
from tests.conformance.features.registry import feature
from tests.rounding import assert_close

NO_WEIGHT = "the circuit depends on its input, so no weight equals the branch; `qweft export` fits a LoRA to it"


def refused(case: Case, model: Any, merge: Callable[[], Any]) -> Refused:
    """The model says why it does not merge, and nothing in it has changed."""
    before, weights = case.output(model), {key: tensor.clone() for key, tensor in model.state_dict().items()}
    with pytest.raises(NotImplementedError, match=r"quantum circuit.*qweft export"):
        merge()
    assert list(model.state_dict()) == list(weights)
    assert all(torch.equal(tensor, weights[key]) for key, tensor in model.state_dict().items())
    assert merged_adapters(model) == []
    assert torch.equal(case.output(model), before)
    return Refused(NO_WEIGHT)


@feature("`merge_and_unload`", torch.float64)
def merge_and_unload(case: Case, folder: Path) -> Refused | None:
    model = case.adapted()
    before = case.output(model)
    if case.has_circuit:
        return refused(case, model, model.merge_and_unload)
    merged = model.merge_and_unload()
    assert type(merged) is type(case.base())
    assert not any(isinstance(module, BaseTunerLayer) for module in merged.modules())
    assert_close(case.output(merged), before)
    assert not torch.allclose(case.output(case.base()), before, rtol=1e-4, atol=1e-4)
    return None


@feature("`merge_adapter`, `unmerge_adapter`, `disable_adapter` while merged", torch.float64)
def merge_and_back(case: Case, folder: Path) -> Refused | None:
    model = case.adapted()
    before = case.output(model)
    if case.has_circuit:
        return refused(case, model, model.merge_adapter)
    model.merge_adapter()
    assert merged_adapters(model) == ["default"]
    for layer in tuner_layers(model).values():
        assert not torch.equal(layer.get_base_layer().weight, original(case, model, layer))
    assert_close(case.output(model), before)
    with model.disable_adapter():  # which unmerges
        assert_close(case.output(model), case.output(case.base()))
    model.unmerge_adapter()
    assert merged_adapters(model) == []
    for layer in tuner_layers(model).values():
        assert_close(layer.get_base_layer().weight, original(case, model, layer))
    assert_close(case.output(model), before)
    return None


def merged_adapters(model: Any) -> list[str]:
    """The adapters that are merged, the same in every layer."""
    first, *others = (layer.merged_adapters for layer in tuner_layers(model).values())
    assert all(other == first for other in others)
    return list(first)


def original(case: Case, model: Any, layer: Any) -> torch.Tensor:
    """The weight of this layer in the base model."""
    name = next(name for name, found in tuner_layers(model).items() if found is layer)
    return case.base().get_submodule(name).weight


@feature("`safe_merge` leaves the weights alone where NaN would come of it", torch.float64)
def safe_merge(case: Case, folder: Path) -> Refused | None:
    model = case.adapted()
    if case.has_circuit:
        return refused(case, model, lambda: model.merge_adapter(safe_merge=True))
    before = case.output(model)
    model.merge_adapter(safe_merge=True)
    assert_close(case.output(model), before)
    model.unmerge_adapter()
    for _, parameter in model.named_parameters():
        if parameter.requires_grad:
            parameter.data.fill_(torch.nan)
    with pytest.raises(ValueError, match="NaNs detected in the merged weights"):
        model.merge_and_unload(safe_merge=True)
    layer = next(iter(tuner_layers(model).values()))
    assert_close(layer.get_base_layer().weight, original(case, model, layer))
    return None


@feature("one of several merged, the other unmerged", torch.float64)
def one_of_several(case: Case, folder: Path) -> Refused | None:
    model = case.adapted("a")
    first = case.output(model)
    torch.manual_seed(2)
    model.add_adapter("ab", case.config(init_weights=False))
    model.set_adapter("ab")
    second = case.output(model)
    if case.has_circuit:
        return refused(case, model, lambda: model.merge_and_unload(adapter_names=["a"]))
    model.merge_adapter(adapter_names=["a"])
    assert merged_adapters(model) == ["a"]
    assert_close(case.output(model), first)
    model.unmerge_adapter()
    assert_close(case.output(model), second)
    assert_close(case.output(model.merge_and_unload(adapter_names=["a"])), first)
    return None


@feature("PEFT's `convert_to_lora`")
def to_lora(case: Case, folder: Path) -> Refused | None:
    model = case.adapted(task_type=None)
    assert model.supports_lora_conversion() != case.has_circuit
    if case.has_circuit:
        with pytest.raises(TypeError, match=r"do not support LoRA conversion: .*QwthnLinear"):
            convert_to_lora(model, rank=3)
        return Refused(NO_WEIGHT)
    config, weights = convert_to_lora(model, rank=3)
    again: PeftModel = get_peft_model(case.base(), config).eval()
    missing = again.load_state_dict(
        {key.replace(".weight", ".default.weight"): tensor for key, tensor in weights.items()}, strict=False
    )
    assert not missing.unexpected_keys
    torch.testing.assert_close(case.output(again), case.output(model), rtol=1e-3, atol=1e-3)
    return None
