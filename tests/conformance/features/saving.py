"""Adapters in files, in state dicts, and copied."""

import copy
import json
import pickle
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from peft import (
    PeftConfig,
    PeftModel,
    get_peft_model,
    get_peft_model_state_dict,
    inject_adapter_in_model,
    set_peft_model_state_dict,
)
from safetensors.torch import load_file

from tests.conformance.case import Case, NotApplicable, trained
from tests.conformance.features.adapters import outputs, pair, second, tuner_layers
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


@feature("`selected_adapters` saved alone")
def selected(case: Case, folder: Path) -> None:
    model = pair(case)
    model.save_pretrained(folder, selected_adapters=["ab"])
    assert not (folder / "a").exists() and not (folder / "adapter_model.safetensors").exists()
    assert torch.equal(case.output(loaded(case, folder / "ab")), outputs(case, model)["ab"])
    with pytest.raises(ValueError, match="adapter"):
        model.save_pretrained(folder, selected_adapters=["none such"])


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


@feature("`modules_to_save`: a trained head survives")
def head_survives(case: Case, folder: Path) -> None:
    model = get_peft_model(case.base(), case.config(modules_to_save=[case.family.head]))
    trained(case, model)
    heads = {key: tensor for key, tensor in model.state_dict().items() if ".modules_to_save.default." in key}
    originals = {key: model.state_dict()[key.replace("modules_to_save.default", "original_module")] for key in heads}
    assert heads and all(not torch.equal(heads[key], originals[key]) for key in heads)
    model.save_pretrained(folder)
    again = loaded(case, folder, "other")
    for key, tensor in heads.items():
        assert torch.equal(again.state_dict()[key.replace(".default.", ".other.")], tensor)
    assert torch.equal(case.output(again), case.output(model))
    with model.disable_adapter():
        assert torch.equal(case.output(model), case.output(case.base()))


@feature("`AutoPeftModel...from_pretrained`")
def auto_class(case: Case, folder: Path) -> None:
    if case.family.auto is None:
        raise NotApplicable("it is no model of transformers")
    case.base().save_pretrained(folder / "base")
    base = type(case.base()).from_pretrained(folder / "base").eval()
    model = get_peft_model(base, case.config(init_weights=False)).eval()
    model.save_pretrained(folder / "adapter")
    name = "AutoPeftModel"
    if case.family.task is not None:
        name += case.family.auto.removeprefix("AutoModel") or "ForFeatureExtraction"
    changes = {"num_labels": 3} if "Classification" in name else {}
    again = getattr(peft, name).from_pretrained(str(folder / "adapter"), **changes).eval()
    assert type(again) is type(model)
    assert torch.equal(case.output(again), case.output(model))


@feature("config there and back through JSON")
def config_file(case: Case, folder: Path) -> None:
    first = case.family.targets[0]
    config = case.config(rank_pattern={first: 2}, alpha_pattern={first: 3.0}, modules_to_save=[case.family.head])
    config.save_pretrained(folder)
    text = (folder / "adapter_config.json").read_text()
    assert json.loads(text)["peft_type"] == config.peft_type.value
    again = PeftConfig.from_pretrained(str(folder))
    assert type(again) is type(config)
    assert plain(again) == plain(config)
    again.save_pretrained(folder)
    assert (folder / "adapter_config.json").read_text() == text


def plain(config: PeftConfig) -> dict[str, Any]:
    """A config's fields but for what saving sets, without the order of sets."""
    fields = {key: sorted(value) if isinstance(value, set) else value for key, value in config.to_dict().items()}
    return {key: value for key, value in fields.items() if key != "inference_mode"}


@feature("`inject_adapter_in_model`, `get_/set_peft_model_state_dict`")
def inject(case: Case, folder: Path) -> None:
    torch.manual_seed(1)
    model = inject_adapter_in_model(case.config(init_weights=False), case.base()).eval()
    assert type(model) is type(case.base())
    assert torch.equal(case.output(model), case.output(case.adapted()))
    state = get_peft_model_state_dict(model)
    assert state and all(".default" not in key for key in state)
    torch.manual_seed(99)
    again = inject_adapter_in_model(case.config(), case.base(), adapter_name="other").eval()
    result = set_peft_model_state_dict(again, state, adapter_name="other")
    assert not result.unexpected_keys
    assert torch.equal(case.output(again), case.output(model))


@feature("`state_dict` there and back")
def state_dict(case: Case, folder: Path) -> None:
    model = pair(case)
    wanted = outputs(case, model)
    case.output(model)  # what is built from the weights must follow them
    again = case.adapted("a", seed=5, init_weights=True)
    again.add_adapter("ab", second(case, init_weights=True))
    case.output(again.eval())
    found = again.load_state_dict(model.state_dict())
    assert not found.missing_keys and not found.unexpected_keys
    for name in ("ab", "a"):
        again.set_adapter(name)
        assert torch.equal(case.output(again), wanted[name])


@feature("`copy.deepcopy`")
def deep_copy(case: Case, folder: Path) -> None:
    model = pair(case)
    before = case.output(model)
    again = copy.deepcopy(model)
    assert torch.equal(case.output(again), before)
    independent(case, again, model)


@feature("`pickle`")
def pickled(case: Case, folder: Path) -> None:
    model = pair(case)
    before = case.output(model)
    again = pickle.loads(pickle.dumps(model))
    assert torch.equal(case.output(again), before)
    independent(case, again, model)


def independent(case: Case, again: Any, model: Any) -> None:
    """Training the copy leaves the original as it was, and the copy's output follows its own weights."""
    before = case.output(model)
    assert list(tuner_layers(again)) == list(tuner_layers(model))
    trained(case, again, steps=1)
    assert torch.equal(case.output(model), before)
    assert not torch.equal(case.output(again), before)
