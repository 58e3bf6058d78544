"""Adapters in files, in state dicts, and copied."""

import copy
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel, get_peft_model
from safetensors.torch import load_file

from tests.conformance.case import Case, trained
from tests.conformance.features.adapters import outputs, pair
from tests.conformance.features.registry import feature
from tests.conformance.methods import CONTROL


def stored(folder: Path) -> dict[str, torch.Tensor]:
    """The tensors of an adapter's file."""
    found: dict[str, torch.Tensor] = load_file(folder / "adapter_model.safetensors")
    assert found
    return found


def loaded(case: Case, folder: Path, name: str = "default", **changes: Any) -> Any:
    """The adapter of a folder on a new base model, after other random numbers were drawn."""
    torch.manual_seed(99)
    return PeftModel.from_pretrained(case.base(), str(folder), adapter_name=name, **changes).eval()


@feature("saved and loaded under another name, after another seed")
def save_and_load(case: Case, folder: Path) -> None:
    model = trained(case, get_peft_model(case.base(), case.config()))
    model.save_pretrained(folder)
    assert all(".default" not in key for key in stored(folder))
    directions = {torch.uint8} if case.method in ("subspace", "readout", "sparse") else set()
    assert {tensor.dtype for tensor in stored(folder).values()} == {torch.float32} | directions
    again = loaded(case, folder, "other")
    assert torch.equal(case.output(again), case.output(model))
    assert not torch.equal(case.output(again), case.output(case.base()))
    assert not [name for name, parameter in again.named_parameters() if parameter.requires_grad]
    to_train = loaded(case, folder, is_trainable=True)
    assert to_train.get_nb_trainable_parameters() == model.get_nb_trainable_parameters()


@feature("`low_cpu_mem_usage` when loading")
def low_memory(case: Case, folder: Path) -> None:
    model = case.adapted()
    model.save_pretrained(folder)
    again = loaded(case, folder, low_cpu_mem_usage=True)
    assert not [name for name, tensor in again.state_dict().items() if tensor.device.type == "meta"]
    assert torch.equal(case.output(again), case.output(model))
    again.load_adapter(str(folder), "other", low_cpu_mem_usage=True)
    again.set_adapter("other")
    assert torch.equal(case.output(again), case.output(model))


@feature("adapters whose names contain each other, saved and loaded")
def alike_names(case: Case, folder: Path) -> None:
    model = pair(case)
    # the third has the name of layers, of which the files of PEFT's own methods would lose all but one adapter's
    third = "abc" if case.method == CONTROL else case.family.targets[0]
    torch.manual_seed(3)
    model.add_adapter(third, case.config(init_weights=False))
    wanted = outputs(case, model)
    model.set_adapter(third)
    wanted[third] = case.output(model)
    model.save_pretrained(folder)
    again = loaded(case, folder / "a", "a")
    for name in ("ab", third):
        again.load_adapter(str(folder / name), name)
    for name in ("a", "ab", third):
        again.set_adapter(name)
        assert torch.equal(case.output(again), wanted[name]), name


@feature("`load_adapter` twice, and again over trained weights")
def load_twice(case: Case, folder: Path) -> None:
    model = case.adapted()
    wanted = case.output(model)
    model.save_pretrained(folder)
    again = loaded(case, folder, "first", is_trainable=True)
    again.load_adapter(str(folder), "second")
    again.set_adapter("second")
    assert torch.equal(case.output(again), wanted)
    again.set_adapter("first")
    trained(case, again, steps=1)
    assert not torch.equal(case.output(again), wanted)
    again.load_adapter(str(folder), "first")
    assert torch.equal(case.output(again), wanted)
    assert again.active_adapters == ["first"]


@feature("`copy.deepcopy`")
def deep_copy(case: Case, folder: Path) -> None:
    model = pair(case)
    before = case.output(model)
    again = copy.deepcopy(model)
    assert torch.equal(case.output(again), before)
    trained(case, again, steps=1)
    assert torch.equal(case.output(model), before)
    assert not torch.equal(case.output(again), before)
